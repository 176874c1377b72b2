"""A whole Hostler whose boards are the boot paths: the virtual lab and the server as people run them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tomllib
from contextlib import ExitStack
from typing import TYPE_CHECKING

from whole_lab import BOOT_SECONDS, DISK, WholeLab

from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.client.waiting import wait_claim
from hostler.demo.children import Child
from hostler.demo.material import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from boot_paths import BootPath

    from hostler.client.documents import TraceEvent
    from hostler.demo.material import Material

OWN = """
[networks.boot]
interface = "br0"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"
router = "10.77.0.1"
netns_pidfile = "virtual/namespace.pid"
"""
"""The network of the boards as ``lab.toml`` tells it, when Hostler gives the addresses."""

READY_SECONDS = 120.0
"""Longest start of the virtual lab or of the server."""

RUN_SECONDS = 1800.0
"""Longest run: agent, wipe of a small disk, install and boot, on two cores that are busy with others."""


class MatrixLab(WholeLab):
    """One board for each boot path; its class and its name are the path's key."""

    def __init__(self, state: Path, paths: Sequence[BootPath], network: str = OWN) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.state, self.data = state, state / "server"
        self.starts = 0
        self.boot_tokens: set[str] = set()
        self.virtual = None
        self.paths = {path.key: path for path in paths}
        self.media = state / "media"
        api, switch, *consoles = free_ports(2 + len(paths))
        self.url = f"http://127.0.0.1:{api}"
        self.toml, self._virtual_toml = state / "lab.toml", state / "virtual.toml"
        community = secrets.token_urlsafe(12)
        (state / "community").write_text(community + "\n")
        self.toml.write_text(
            f'[lab]\nname = "matrix"\n{network}\n'
            f'[equipment.switch1]\ndriver = "snmp-poe"\nhost = "127.0.0.1:{switch}"\n'
            'community = "file:community"\n'
            + "".join(
                _class_and_board(n, path, console, relayed="relayed" in network)
                for n, (path, console) in enumerate(zip(paths, consoles, strict=True), 1)
            )
        )
        self._virtual_toml.write_text(
            f'[lab]\nstate_dir = "virtual"\naddress = "10.77.0.1/24"\naddress6 = "fd77::1/64"\n'
            f'[switch]\nlisten = "127.0.0.1:{switch}"\ncommunity = "{community}"\nports = 48\n'
            + "".join(
                self._machine(n, path, console)
                for n, (path, console) in enumerate(zip(paths, consoles, strict=True), 1)
            )
        )
        self._switch = tomllib.loads(self._virtual_toml.read_text())["switch"]

    def start(self, beside: Callable[[], object] = lambda: None) -> None:
        """Start the virtual lab, then what is ``beside`` it on its network, then the server."""
        self.virtual = virtual = Child(
            "virtual lab", ["virtual", "--config", str(self._virtual_toml)], self.log("virtual")
        )
        virtual.wait_until(lambda: virtual.printed(r"\bready\b"), seconds=READY_SECONDS, what="being ready")
        beside()
        self.serve()
        self.server.wait_until(lambda: bool(self.server.tokens), seconds=READY_SECONDS, what="a token")
        self.token = self.server.tokens[0]
        self.client = Client(Settings(self.url, self.token))
        self.settle()

    def prepare(self, material: Material) -> None:
        """Put onto the disks what is there before the boards are in the lab."""
        for path in self.paths.values():
            disk = self.disk(path.key)
            if path.on_disk:
                disk.parent.mkdir(parents=True)
                shutil.copyfile(material.images[path.on_disk], disk)
                os.truncate(disk, DISK)

    def import_needed(self, material: Material) -> None:
        """Register the agents and import the images that the paths install."""
        self.import_images(material)
        for name in sorted({path.image for path in self.paths.values() if path.image}):
            arch, platforms = PLATFORMS[name]
            self.import_image(name, material.images[name], arch, platforms)

    def boot(self, path: BootPath) -> list[TraceEvent]:
        """Boot a board its path and return its trace, oldest first; AssertionError if its run fails."""
        board = path.key
        claim = self.client.claim(board, ttl="2h", wait=True)
        wait_claim(self.client, claim["id"], seconds=BOOT_SECONDS)
        try:
            run = (
                self.client.deploy(board, path.image)
                if path.image
                else self.client.start_run(board, "discover")
            )
            run = self.wait_run(run["id"], seconds=RUN_SECONDS)
            events = self.events(board)
            assert run["state"] == "succeeded", f"{run['error']}\n{self.told(board)}"
            assert run["attempt"] == 1, f"it took {run['attempt']} attempts\n{self.told(board)}"
            return events
        finally:
            self.client.set_power(board, "off")  # a core for the next one; its claim ends with the server

    def told(self, board: str) -> str:
        """Return trace and console of a board for whoever reads why a test failed."""
        lines = [
            f"{event['since']:8.1f} {event['source']} {event['kind']} {event['text']}"
            for event in self.events(board)
        ]
        console = self.client.console_log(board, tail=3000).decode(errors="replace")
        return "\n".join([*lines, "", console])

    def _machine(self, number: int, path: BootPath, console: int) -> str:
        media = f'media = "{self.media / path.key}"\n' if path.first == "media" else ""
        return (
            f'[[boards]]\nname = "{path.key}"\nkind = "{path.kind}"\nport = {number}\n'
            f'mac = "{mac_of(number)}"\nuuid = "{uuid_of(number)}"\nserial = "VM{number:04}"\n'
            f'memory = 1024\ndisk = "{DISK >> 20}M"\n'
            f'console = "127.0.0.1:{console}"\nfirst = "{path.first}"\n{media}'
            f"secure_boot = {str(path.secure_boot).lower()}\n"
        )


def _class_and_board(number: int, path: BootPath, console: int, *, relayed: bool) -> str:
    loader = f'loader = "{path.loader}"\n' if path.loader else ""
    bootctl = f"bootctl = {path.bootctl}\n" if path.bootctl else ""
    # Behind the relay it is known by its port alone: whatever card is in it.
    who = (
        'network = "far"\ncircuit_id = "down0"\n'
        if relayed
        else f'mac = "{mac_of(number)}"\nuuid = "{uuid_of(number)}"\nserial = "VM{number:04}"\n'
    )
    return (
        f'[classes.{path.key}]\nplatform = "{path.platform}"\n{loader}'
        f'[boards.{path.key}]\nclass = "{path.key}"\n{who}{bootctl}'
        f'power = {{ equipment = "switch1", port = {number} }}\n'
        f'console = {{ driver = "raw-tcp", address = "127.0.0.1:{console}" }}\n'
    )


def mac_of(number: int) -> str:
    return f"52:54:00:77:01:{number:02x}"


def uuid_of(number: int) -> str:
    return f"b0a2d0e4-01{number:02x}-4c6f-9a35-6d1f2c7e01{number:02x}"


def free_ports(count: int) -> list[int]:
    """Return ports that neither TCP nor UDP uses; all are held until all are chosen."""
    chosen: list[int] = []
    with ExitStack() as held:
        while len(chosen) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                try:
                    datagrams.bind(("127.0.0.1", port))
                except OSError:
                    continue
            chosen.append(port)
    return chosen
