"""A whole Hostler for tests: the virtual lab and the server as the processes people run, and their client."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.client.client import Client
from hostler.client.console import readable
from hostler.client.settings import Settings
from hostler.client.waiting import wait_board, wait_claim, wait_healthy
from hostler.demo.children import Child
from hostler.demo.lab import free_ports, write_configuration
from hostler.demo.material import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.client.documents import Board, Run, TraceEvent
    from hostler.demo.material import Material

PORTS = {"vx-bios": 1, "vx-uefi": 2, "va-uboot": 3, "stranger": 4}
CLASSES = {"vx-bios": "pc-bios", "vx-uefi": "pc-uefi", "va-uboot": "arm64-virt"}
DISK = 1 << 30
STRANGER_MAC = "52:54:00:77:00:09"
BOOT_SECONDS = 600.0
"""Longest boot of a system: three at once under emulation on two busy cores."""

_ADMIN_ENABLE = "1.3.6.1.2.1.105.1.1.1.3.1"
_READY_SECONDS = 120.0
_STRANGER = f"""
[[boards]]
name = "stranger"
kind = "x86-bios"
port = {PORTS["stranger"]}
mac = "{STRANGER_MAC}"
uuid = "b0a2d0e4-0009-4c6f-9a35-6d1f2c7e0009"
serial = "VX0009"
memory = 512
disk = "64M"
console = "127.0.0.1:CONSOLE"
"""


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str


def hostler(*arguments: str, url: str, token: str, seconds: float = 120) -> Said:
    """Run the command line as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "hostler.cli.main", *arguments],
        env={**os.environ, "HOSTLER_URL": url, "HOSTLER_TOKEN": token},
        capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


class WholeLab:
    """The three boards of the demo, with small disks, and one machine that is not in ``lab.toml``."""

    server: Child
    client: Client

    def __init__(self, state: Path) -> None:
        self.state = state
        self.data = state / "server"
        self.starts = 0
        self.boot_tokens: set[str] = set()
        for place in (state, _made(state / "spare")):
            (place / "ports.json").write_text("[0, 0, 0, 0, 0]")  # any: a demo may run beside it
        ports = free_ports(state)
        self.url = f"http://127.0.0.1:{ports.api}"
        self.toml, self._virtual_toml = write_configuration(state, ports)
        self._stranger_port = free_ports(state / "spare").consoles[0]
        text = re.sub(r'^disk = ".*"', f'disk = "{DISK >> 20}M"', self._virtual_toml.read_text(), flags=re.M)
        self._virtual_toml.write_text(text + _STRANGER.replace("CONSOLE", str(self._stranger_port)))
        self._switch = tomllib.loads(self._virtual_toml.read_text())["switch"]
        self.virtual: Child | None = None

    def start(self) -> None:
        """Start the virtual lab, then the server."""
        self.virtual = Child(
            "virtual lab", ["virtual", "--config", str(self._virtual_toml)], self.log("virtual")
        )
        virtual = self.virtual
        virtual.wait_until(lambda: virtual.printed(r"\bready\b"), seconds=_READY_SECONDS, what="being ready")
        self.serve()
        self.server.wait_until(lambda: bool(self.server.tokens), seconds=_READY_SECONDS, what="a token")
        self.token = self.server.tokens[0]
        self.client = Client(Settings(self.url, self.token))
        self.settle()

    def serve(self) -> None:
        """Start the server; it needs not answer yet."""
        self.starts += 1
        listen = self.url.removeprefix("http://")
        arguments = ["serve", "--config", str(self.toml), "--state", str(self.data), "--listen", listen]
        self.server = Child("server", arguments, self.log(f"server-{self.starts}"))

    def settle(self) -> None:
        """Wait until the server answers."""
        wait_healthy(self.client, seconds=_READY_SECONDS, alive=self.server.alive)

    def kill_server(self) -> list[int]:
        """Kill the server as the kernel does when memory is out; return its child processes."""
        children = [
            int(pid) for pid in _text(f"/proc/{self.server.pid}/task/{self.server.pid}/children").split()
        ]
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.stop()
        return children

    def stop(self) -> None:
        """End both."""
        for child in (getattr(self, "server", None), self.virtual):
            if child is not None:
                child.stop()

    def log(self, name: str) -> Path:
        return self.state / "log" / f"{name}.log"

    def disk(self, board: str) -> Path:
        return self.state / "virtual" / "boards" / board / "disk.raw"

    def import_images(self, material: Material, *names: str) -> None:
        """Register the agents and import images."""
        for arch, (kernel, initrd) in material.agents.items():
            self.client.register_agent(arch, kernel, initrd, material.loaders.get(arch))
        for name in names:
            self.import_image(name, material.images[name], *PLATFORMS[name])

    def import_image(self, name: str, path: Path, arch: str, platforms: list[str]) -> None:
        self.client.import_image(
            name, path, arch=arch, platforms=platforms, done_console="login:", done_seconds=BOOT_SECONDS
        )

    def claim(self, board: str) -> str:
        """Claim a board by its class and return the claim's id."""
        claim = self.client.claim(CLASSES[board], ttl="2h", wait=True)
        claim = wait_claim(self.client, claim["id"], seconds=600)
        assert claim["board"] == board
        return claim["id"]

    def wait_run(self, run: str, good: Callable[[Run], bool] | None = None, seconds: float = 900) -> Run:
        """Look at a run until it is so (or has ended), and note the boots' tokens meanwhile."""
        end = time.monotonic() + seconds
        while True:
            present = self.client.run(run)
            self.note_boot_tokens()
            if (good is not None and good(present)) or present["ended"] is not None:
                return present
            assert time.monotonic() < end, f"not so within {seconds:.0f} s: {present}"
            time.sleep(0.2)

    def wait_free(self, board: str, seconds: float = 600) -> Board:
        """Wait until a released board is free and off."""
        return wait_board(
            self.client,
            board,
            lambda now: now["lifecycle"] != "releasing",
            seconds=seconds,
            what="being free",
        )

    def note_boot_tokens(self) -> None:
        """Remember the secrets of the present boots; only the rack's own memory has them."""
        with sqlite3.connect(f"file:{self.data / 'rack.db'}?mode=ro", uri=True) as memories:
            for (text,) in memories.execute("SELECT memory FROM memories"):
                boot = json.loads(text).get("boot")
                if boot and boot.get("token"):
                    self.boot_tokens.add(boot["token"])

    def switch_port(self, board: str, *, on: bool) -> None:
        """Set a port of the switch with net-snmp, behind Hostler's back."""
        oid = f"{_ADMIN_ENABLE}.{PORTS[board]}"
        command = ["snmpset", "-v2c", "-c", self._switch["community"], self._switch["listen"]]
        subprocess.run([*command, oid, "i", "1" if on else "2"], check=True, capture_output=True, timeout=30)

    def board_process(self, board: str) -> int | None:
        """Return the pid of a board's QEMU; None while it is not there."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _text(entry / "comm").startswith("qemu-system"):
                words = _text(entry / "cmdline").split("\0")
                if board in words and Path(os.path.realpath(entry / "cwd")) == self.disk(board).parent:
                    return int(entry.name)
        return None

    def crash(self, board: str) -> None:
        """Kill a board's QEMU: a supply that dies under it."""
        pid = self.board_process(board)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def stranger_console(self) -> str:
        """Return what the machine nobody knows has said so far."""
        said = b""
        with socket.create_connection(("127.0.0.1", self._stranger_port), 5) as line:
            line.settimeout(1)
            with suppress(TimeoutError):
                while data := line.recv(65536):
                    said += data
        return readable(said)

    def events(self, board: str, since: int = 0) -> list[TraceEvent]:
        """Return the trace of all boots after the ``since``-th, in order."""
        numbers = [boot["number"] for boot in self.client.trace(board)["boots"]]
        events = [
            event
            for number in sorted(numbers)
            if number > since
            for event in self.client.trace(board, number)["events"]
        ]
        return sorted(events, key=lambda event: event["at"])

    def newest_boot(self, board: str) -> int:
        boots = self.client.trace(board)["boots"]
        return boots[0]["number"] if boots else 0

    def hostler(self, *arguments: str, seconds: float = 120) -> Said:
        """Run the command line against this server as its admin."""
        return hostler(*arguments, url=self.url, token=self.token, seconds=seconds)

    def add_member(self, name: str) -> str:
        """Let somebody in and return the token."""
        with Client(Settings(self.url, self.token)) as admin:
            made: Any = admin._http.call("POST", "principals", body={"name": name, "role": "member"})
        return str(made["token"])


def gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie has."""
    status = _text(f"/proc/{pid}/status")
    return not status or "\nState:\tZ" in status


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _text(path: Path | str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
