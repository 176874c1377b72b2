"""Wires that go elsewhere than lab.toml says, found on real firmware before anybody is given such a board.

Six BIOS machines on the virtual switch. In lab.toml the power of two is crossed, the consoles of two others
are, one console is a line that nobody is on, and one machine is in no lab.toml at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from whole_lab import Said, hostler

from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.client.waiting import poll, wait_board, wait_healthy
from hostler.demo.children import Child

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

COMMUNITY = "wires"
BOARDS = ("b1", "b2", "b3", "b4", "b5", "b6")
STRANGER = "b6"
READY_SECONDS = 120.0
POWER = {"b1": 2, "b2": 1, "b3": 3, "b4": 4, "b5": 5}
"""What lab.toml says; b1 and b2 are crossed, and port 6 is in nobody's table."""

CONSOLE = {"b1": "b1", "b2": "b2", "b3": "b4", "b4": "b3", "b5": "nobody"}
"""Whose line lab.toml says is whose; those of b3 and b4 are crossed."""


def mac(name: str) -> str:
    return f"52:54:00:77:01:{name[1:]:0>2}"


class WiredLab:
    """The virtual lab, a server with a lab.toml that does not fit it, and the command line."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self.place = place
        held = [stack.enter_context(socket.socket()) for _ in range(len(BOARDS) + 1)]
        for probe in held:
            probe.bind(("127.0.0.1", 0))
        *consoles, api = (int(probe.getsockname()[1]) for probe in held)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.switch = int(probe.getsockname()[1])
        for probe in held:
            probe.close()
        self.lines = dict(zip(BOARDS, consoles, strict=True))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.lines["nobody"] = int(silent.getsockname()[1])
        self.url = f"http://127.0.0.1:{api}"
        self.toml = place / "lab.toml"

    def start(self, stack: ExitStack) -> None:
        """Start the virtual lab and the server."""
        self.toml.write_text(self.lab_toml(POWER, CONSOLE))
        virtual = self.place / "virtual.toml"
        virtual.write_text(self._virtual_toml())
        lab = Child("virtual lab", ["virtual", "--config", str(virtual)], self.place / "virtual.log")
        stack.callback(lab.stop)
        lab.wait_until(lambda: lab.printed(r"\bready\b"), seconds=READY_SECONDS, what="being ready")
        listen = self.url.removeprefix("http://")
        arguments = ["serve", "--config", str(self.toml), "--state", str(self.place / "server")]
        server = Child("server", [*arguments, "--listen", listen], self.place / "server.log")
        stack.callback(server.stop)
        server.wait_until(lambda: bool(server.tokens), seconds=READY_SECONDS, what="a token")
        self.token = server.tokens[0]
        self.client = Client(Settings(self.url, self.token))
        stack.callback(self.client.close)
        wait_healthy(self.client, seconds=READY_SECONDS, alive=server.alive)
        poll(
            lambda: self.client.check(),
            lambda report: all(row["ok"] for row in report["checks"] if not row["what"].startswith("agent")),
            seconds=60,
            what="every line and network being there",
        )

    def hostler(self, *arguments: str) -> Said:
        return hostler(*arguments, url=self.url, token=self.token, seconds=300)

    def apply(self, power: dict[str, int], console: dict[str, str]) -> None:
        """Correct lab.toml, as a person does."""
        self.toml.write_text(self.lab_toml(power, console))
        said = self.hostler("apply", str(self.toml))
        assert said.status == 0, said

    def lab_toml(self, power: dict[str, int], console: dict[str, str]) -> str:
        free = [self.lines[STRANGER], self.lines["b5"]]
        text = f"""
[lab]
name = "wires"

[networks.boot]
interface = "br0"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"
netns_pidfile = "{self.place}/virtual/namespace.pid"

[equipment.switch1]
driver = "snmp-poe"
host = "127.0.0.1:{self.switch}"
community = "file:{self.place}/community"

[equipment.serial1]
driver = "raw-tcp"
host = "127.0.0.1"
ports = {free}

[classes.pc]
platform = "x86-bios"
"""
        for name in power:
            text += f"""
[boards.{name}]
class = "pc"
mac = "{mac(name)}"
power = {{ equipment = "switch1", port = {power[name]} }}
console = {{ driver = "raw-tcp", address = "127.0.0.1:{self.lines[console[name]]}" }}
"""
        return text

    def _virtual_toml(self) -> str:
        (self.place / "community").write_text(COMMUNITY)
        text = f"""
[lab]
state_dir = "virtual"
[switch]
listen = "127.0.0.1:{self.switch}"
community = "{COMMUNITY}"
ports = 8
"""
        for number, name in enumerate(BOARDS, start=1):
            text += f"""
[[boards]]
name = "{name}"
kind = "x86-bios"
port = {number}
mac = "{mac(name)}"
uuid = "b0a2d0e4-01{number:02}-4c6f-9a35-6d1f2c7e0001"
serial = "WX000{number}"
memory = 256
disk = "64M"
console = "127.0.0.1:{self.lines[name]}"
"""
        return text


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WiredLab]:
    """Everything running, and every board free."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a network namespace for the boards")
    if not shutil.which("snmpset"):
        pytest.fail("needs snmpset (package snmp)")
    with ExitStack() as stack:
        made = WiredLab(tmp_path_factory.mktemp("wires"), stack)
        made.start(stack)
        yield made


def failed(said: Said) -> dict[str, str]:
    """Return what failed, as the command line printed it."""
    return dict(re.findall(r"^FAILED  (.*?): (.*)$", said.out, re.M))


def test_crossed_power_wires_are_named(lab: WiredLab) -> None:
    """The board that was really switched on is named; neither is given to anybody until that is mended."""
    said = lab.hostler("check", "b1", "--active")
    assert said.status == 1, said
    assert failed(said)["network boot of b1"] == (
        'port 2 of switch1 powers board "b2", not "b1": the power wires of "b1" and "b2" are crossed'
    )
    for name in ("b1", "b2"):
        board = lab.client.board(name)
        assert board["lifecycle"] == "quarantined", board
        assert "crossed" in board["reason"]
        wait_board(
            lab.client, name, lambda now: now["power"]["observed"] == "off", seconds=20, what="being off"
        )
    kinds = [event["kind"] for event in lab.client.all_events(board="b1")]
    assert kinds.index("wires.started") < kinds.index("check.step") < kinds.index("wires.failed")


def test_crossed_and_dead_consoles_are_named(lab: WiredLab) -> None:
    """Two boards tried side by side: one speaks on another's line, one on none."""
    said = lab.hostler("check", "b3", "--active", "--json")
    report = json.loads(said.out)
    wrong = {row["what"]: row["text"] for row in report["checks"] if not row["ok"]}
    assert list(wrong) == ["console of b3"], report
    assert 'the console wires of "b3" and "b4" are crossed' in wrong["console of b3"]
    assert "switch1 hears it on port 3" in said.out
    said = lab.hostler("check", "b5", "--active")
    assert list(failed(said)) == ["console of b5"], said
    assert "nothing in" in failed(said)["console of b5"]
    assert {lab.client.board(name)["lifecycle"] for name in ("b3", "b4", "b5")} == {"quarantined"}


def heard_by_the_switch(lab: WiredLab) -> bool:
    """Whether the virtual lab's bridge has learned where the machine nobody knows is."""
    pid = (lab.place / "virtual" / "namespace.pid").read_text().strip()
    command = ["nsenter", "--net", "--target", pid, "--", "bridge", "fdb", "show", "br", "br0", "dynamic"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    return mac(STRANGER) in done.stdout


def test_a_machine_nobody_knows_is_adopted_with_its_wires(lab: WiredLab) -> None:
    """One command finds its port and its line among those that are free, and adds it to lab.toml."""
    before = {name: lab.client.power(name)["observed"] for name in POWER}
    lab_switch(lab, 6)
    listed = f"unknown-{mac(STRANGER).replace(':', '')}"
    poll(
        lambda: [board["name"] for board in lab.client.boards()],
        lambda names: listed in names,
        seconds=60,
        what="being listed",
    )
    # It may be listed since an earlier boot; the switch forgot it with that boot's end.
    poll(lambda: heard_by_the_switch(lab), bool, seconds=60, what="being heard by the switch")
    time.sleep(2.5)  # what the virtual switch tells of that is a second old, and more on a busy machine
    said = lab.hostler(
        "adopt", mac(STRANGER), "--name", STRANGER, "--class", "pc", "--file", str(lab.toml), "--apply"
    )
    assert said.status == 0, said
    assert f"ok      switch port of {mac(STRANGER)}: switch1 hears it on port 6" in said.out
    assert 'power = { equipment = "switch1", port = 6 }' in said.out
    assert f'console = {{ equipment = "serial1", port = {lab.lines[STRANGER]} }}' in said.out
    assert f"add board {STRANGER}" in said.out
    assert f"[boards.{STRANGER}]" in lab.toml.read_text()
    assert {name: lab.client.power(name)["observed"] for name in POWER} == before
    board = lab.client.board(STRANGER)
    assert (board["lifecycle"], board["macs"]) == ("available", [mac(STRANGER)])
    assert listed not in [one["name"] for one in lab.client.boards()]


def test_the_whole_lab_passes_once_it_is_mended(lab: WiredLab) -> None:
    """With the wires written down as they are, every board passes; those put aside stay so."""
    adopted = lab.toml.read_text().partition(f"[boards.{STRANGER}]")
    right = {name: number for number, name in enumerate(BOARDS[:2], start=1)}
    lab.toml.write_text(lab.lab_toml(right, {name: name for name in right}) + "".join(adopted[1:]))
    assert lab.hostler("apply", str(lab.toml)).status == 0
    said = lab.hostler("check", "--active", "--all")
    assert said.status == 0, said
    assert "all well" in said.out
    assert lab.client.board("b1")["lifecycle"] == "quarantined"
    assert lab.client.board(STRANGER)["lifecycle"] == "available"


def lab_switch(lab: WiredLab, port: int) -> None:
    """Plug a machine in: its port is enabled behind Hostler's back."""
    import subprocess

    command = ["snmpset", "-v2c", "-c", COMMUNITY, f"127.0.0.1:{lab.switch}"]
    oid = f"1.3.6.1.2.1.105.1.1.1.3.1.{port}"
    subprocess.run([*command, oid, "i", "1"], check=True, capture_output=True, timeout=30)
