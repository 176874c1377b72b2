"""A machine nobody knows, its power and its console among many, found by trying on real drivers."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from bench import RealBoard, bench, mac

from hostler.drivers.power.fake import FakePower
from hostler.link.documents import to_document
from hostler.link.port import RequestRefusedError
from hostler.model.board import Binding, Board, Equipment
from hostler.model.power import PowerState
from hostler.model.seam import RackPlan
from hostler.model.trace import TraceEvent
from hostler.rack import find_wires
from hostler.rack.free_ends import console_ends, is_free, power_ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bench import Bench

MAC = "52:54:00:aa:00:01"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine answers at once."""
    for name in ("OFF_SECONDS", "SETTLE_SECONDS", "LISTEN_SECONDS"):
        monkeypatch.setattr(find_wires, name, 0.2)


class Machine:
    """A machine on an outlet (a file says whether it is fed) that speaks on TCP lines."""

    def __init__(self, made: Bench, outlet: Path, *, boots: bool = True, restless: bool = False) -> None:
        self.made, self.outlet, self.boots, self.restless = made, outlet, boots, restless
        self.clients: dict[str, list[asyncio.StreamWriter]] = {}
        self.speaks_on: tuple[str, ...] = ()

    async def line(self, name: str) -> int:
        """Listen on a line and return its port."""

        def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.clients.setdefault(name, []).append(writer)

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    def ask(self) -> None:
        self.made.rack._heard(TraceEvent(time.time(), "dhcp", "discover", "asks", None, MAC))

    async def live(self) -> None:
        on = self.outlet.exists() and self.outlet.read_text() == "on"
        while True:
            now = self.outlet.exists() and self.outlet.read_text() == "on"
            if self.restless or (now and not on and self.boots):
                self.ask()
            if now and not on:
                for name in self.speaks_on:
                    for client in self.clients.get(name, []):
                        client.write(b"firmware 2.0\r\n")
            on = now
            await asyncio.sleep(0.02)


@asynccontextmanager
async def lab(place: Path, outlets: int = 3, **kind: bool) -> AsyncIterator[tuple[Bench, Machine]]:
    """A rack with one board, outlets, serial lines, and a machine on the last outlet and line 1."""
    async with bench(place, b1=RealBoard("b1", "b1")) as made:
        files = [place / f"outlet{number}" for number in range(outlets)]
        for file in files:
            file.write_text("on")
        machine = Machine(made, files[-1], **kind)
        ports = [await machine.line(f"line{number}") for number in range(3)]
        machine.speaks_on = ("line1",)
        plan = RackPlan(
            equipment=(
                Equipment("strip", "fake", {}, tuple({"outlet": f.name, "file": str(f)} for f in files)),
                Equipment("serial", "raw-tcp", {"host": "127.0.0.1"}, tuple(ports)),
            )
        )
        await made.link.desire("rack", to_document(plan))
        async with asyncio.timeout(60):
            while made.rack.plan.equipment != plan.equipment:
                await asyncio.sleep(0.01)
        living = asyncio.ensure_future(machine.live())
        try:
            yield made, machine
        finally:
            living.cancel()
            await asyncio.wait([living])


async def find(made: Bench, **body: object) -> dict:
    asked = {"mac": MAC, "board": "unknown-525400aa0001", "search": "s1", "seconds": 1.0, **body}
    return await made.link.request("find-wires", asked, deadline=60)  # type: ignore[arg-type]


async def test_power_and_console_are_found_by_trying(tmp_path: Path) -> None:
    """The outlet that makes it ask again, and the line that speaks then; the others are left as they were."""
    async with lab(tmp_path) as (made, machine):
        found = await find(made)
        assert found["power"]["equipment"] == "strip"
        assert found["power"]["params"]["outlet"] == "outlet2"
        assert found["console"]["equipment"] == "serial"
        assert found["ok"] is True
        assert [file.read_text() for file in sorted(tmp_path.glob("outlet*"))] == ["on"] * 3
        assert machine.outlet.read_text() == "on"
        lines = list(machine.clients)
        assert lines == ["line0", "line1", "line2"]


async def test_lines_that_speak_together_are_named_and_not_guessed(tmp_path: Path) -> None:
    """Two lines that both spoke are both told; neither is chosen."""
    async with lab(tmp_path) as (made, machine):
        machine.speaks_on = ("line0", "line2")
        found = await find(made)
        assert found["power"] is not None
        assert found["console"] is None
        (row,) = [row for row in found["checks"] if not row["ok"]]
        assert row["text"].count("port") == 2


@pytest.mark.parametrize("kind", [{"boots": False}, {"restless": True}])
async def test_what_cannot_be_told_is_not_found(tmp_path: Path, kind: dict[str, bool]) -> None:
    """A machine that never asks, or asks whether it has power or not, is on no port that could be known."""
    async with lab(tmp_path, outlets=2, **kind) as (made, _):
        found = await find(made)
        assert (found["power"], found["console"], found["ok"]) == (None, None, False)
        assert "2 tried" in found["checks"][-1]["text"]
        assert [file.read_text() for file in sorted(tmp_path.glob("outlet*"))] == ["on"] * 2


async def test_an_outlet_that_is_off_is_tried_last_and_left_off(tmp_path: Path) -> None:
    """What was off is off again unless it is the one."""
    async with lab(tmp_path) as (made, machine):
        (tmp_path / "outlet0").write_text("off")
        machine.outlet.write_text("off")
        found = await find(made)
        assert found["power"]["params"]["outlet"] == "outlet2"
        assert (tmp_path / "outlet0").read_text() == "off"


async def test_a_known_machine_is_not_searched_for(tmp_path: Path) -> None:
    """A MAC that lab.toml has is a board's: nothing is switched."""
    async with lab(tmp_path) as (made, _):
        with pytest.raises(RequestRefusedError, match='board "b1" already'):
            await find(made, mac=mac("b1"))
        assert PowerState.ON not in made.supply("b1").history


def boards(*wires: Binding, console: Binding | None = None) -> list[Board]:
    return [Board("b1", "pc", "boot", (), power=wires, console=console)]


async def test_ends_that_boards_hang_on_are_never_free() -> None:
    """By equipment, by another table of the same switch, and by an address written out in the wire itself."""
    strip = Equipment("strip", "http-plug", {"host": "10.0.0.5", "model": "shelly2"}, (1, 2))
    ends, trouble = await power_ends([strip], boards(Binding("http-plug", "strip", {"outlet": 1})))
    assert trouble == []
    assert [end.params for end in ends] == [{"outlet": 2}]
    snmp = Equipment("a", "snmp-poe", {"host": "10.0.0.2", "community": "env:X"}, (1, 2, 3))
    cli = Equipment("b", "switch-cli", {"host": "10.0.0.2:22", "model": "x"})
    taken = boards(
        Binding("switch-cli", "b", {"port": "2"}), Binding("snmp-poe", "a", {"port": 3, "group": 1})
    )
    ends, _ = await power_ends([snmp, cli], taken)
    assert [end.params for end in ends if end.equipment == "a"] == [{"port": 1}]
    serial = Equipment("serial", "raw-tcp", {"host": "10.0.0.3"}, (4001, 4002))
    taken = boards(console=Binding("raw-tcp", None, {"address": "10.0.0.3:4001"}))
    lines, _ = console_ends([serial], taken)
    assert [line.params for line in lines] == [{"port": 4002}]


async def test_an_end_that_a_board_took_meanwhile_is_not_free_any_more() -> None:
    """A search may take long: before each end is tried it is looked at again."""
    strip = Equipment("strip", "http-plug", {"host": "10.0.0.5", "model": "shelly2"}, (1, 2))
    (one, two), _ = await power_ends([strip], [])
    taken = boards(Binding("http-plug", "strip", {"outlet": 1}))
    assert not is_free(one, [strip], taken)
    assert is_free(two, [strip], taken)
    assert not is_free(two, [], [])


async def test_paths_are_patterns_and_wrong_ends_are_told(tmp_path: Path) -> None:
    """A pattern stands for every device there is; what no driver takes is named with its equipment."""
    for name in ("ttyUSB0", "ttyUSB1", "ttyS0"):
        (tmp_path / name).touch()
    usb = Equipment("usb", "tty", {}, (f"{tmp_path}/ttyUSB*",))
    taken = boards(console=Binding("tty", None, {"path": f"{tmp_path}/ttyUSB1"}))
    lines, trouble = console_ends([usb], taken)
    assert (trouble, [line.params for line in lines]) == ([], [{"path": f"{tmp_path}/ttyUSB0"}])
    ends, trouble = await power_ends([Equipment("strip", "modbus-coil", {"host": "h"}, ("left",))], [])
    assert ends == []
    assert "strip" in trouble[0]


def test_the_fake_keeps_its_state_in_a_file(tmp_path: Path) -> None:
    """What these tests rely on: an outlet made again reads what was set before."""
    file = tmp_path / "x"
    file.write_text("on")
    assert FakePower.from_config({}, {"file": str(file)}).state is PowerState.ON
