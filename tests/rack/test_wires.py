"""A board's power over several wires, and the accounts of the equipment they go through."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hostler.drivers.errors import DriverError, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.fake import FakePower
from hostler.drivers.power.queue import EquipmentQueue
from hostler.model.board import Binding, Board, Equipment
from hostler.model.power import PowerReading, PowerState
from hostler.rack.wires import Outlet, WiredPower, Wires
from stepped_clock import SteppedClock

ON, OFF = PowerState.ON, PowerState.OFF


class Line(FakePower):
    """An outlet that writes down, with the others of its board, what it was told."""

    def __init__(self, name: str, told: list[str], *, min_off_seconds: float = 0.0) -> None:
        super().__init__(name, min_off_seconds)
        self._told = told

    async def set(self, state: PowerState) -> None:
        self._told.append(f"{self.outlet} {state}")
        await super().set(state)


def wired(*lines: Line) -> WiredPower:
    return WiredPower(Outlet(f"b/{n}", EquipmentQueue(line.outlet), line) for n, line in enumerate(lines))


async def test_wires_come_on_in_order_and_go_off_in_reverse() -> None:
    """PoE first and then the reset line; off the other way round."""
    told: list[str] = []
    power = wired(Line("poe", told), Line("reset", told))
    reading, _ = await power.set(ON)
    assert (reading.state, reading.partly) == (ON, False)
    reading, _ = await power.set(OFF)
    assert (reading.state, reading.partly) == (OFF, False)
    assert told == ["poe on", "reset on", "reset off", "poe off"]


async def test_each_wire_keeps_its_own_minimum_off_time() -> None:
    """The second wire is not touched before the first one's off time is over and it reads on."""
    clock = SteppedClock()
    told: list[str] = []
    lines = [Line("poe", told, min_off_seconds=20), Line("reset", told, min_off_seconds=1)]
    power = WiredPower(Outlet(f"b/{n}", EquipmentQueue(f"e{n}", clock), line) for n, line in enumerate(lines))

    async def cycle() -> float:
        await power.set(ON)
        await power.set(OFF)
        off = clock.now()
        told.clear()
        switching = asyncio.ensure_future(power.set(ON))
        await clock.sleep(19)
        assert told == []
        await switching
        return clock.now() - off

    assert await clock.run(cycle()) >= 20
    assert told == ["poe on", "reset on"]


async def test_a_board_whose_second_wire_fails_is_switched_off_again() -> None:
    """Nothing half done: what was on already goes off, and the first trouble is what is told."""
    told: list[str] = []
    lines = [Line("poe", told), Line("relay", told), Line("reset", told)]
    lines[2].misbehaviour.refuse = True
    with pytest.raises(EquipmentRefused, match="reset"):
        await wired(*lines).set(ON)
    assert told == ["poe on", "relay on", "reset on", "relay off", "poe off"]
    assert [line.state for line in lines] == [OFF, OFF, OFF]


async def test_a_wire_that_does_not_go_off_keeps_no_other_on() -> None:
    """Everything that can go off goes off, and the trouble is told."""
    told: list[str] = []
    lines = [Line("poe", told), Line("reset", told)]
    power = wired(*lines)
    await power.set(ON)
    lines[1].misbehaviour.unreachable = True
    with pytest.raises(EquipmentUnreachable, match="reset"):
        await power.set(OFF)
    assert lines[0].state is OFF


async def test_a_board_that_is_partly_on_says_so() -> None:
    """It does not run, so it is off; but it is not as off as a board should be."""
    told: list[str] = []
    lines = [Line("poe", told), Line("reset", told)]
    lines[0].state = ON
    assert await wired(*lines).get() == PowerReading(OFF, None, "on, off", partly=True)


BOARD = Board("b1", "pc", "boot", ("52:54:00:00:00:01",), power=(Binding("fake", "sw1"),), watts=20.0)


def board(name: str, **changes: object) -> Board:
    return replace(BOARD, name=name, **changes)  # type: ignore[arg-type]


def supply(wires: Wires, made: Board) -> WiredPower:
    power = wires.power(made)
    assert isinstance(power, WiredPower)
    return power


async def test_what_lab_toml_says_of_equipment_and_boards_binds() -> None:
    """Budget and watts are taken from the file, change with it, and a board that left takes nothing."""
    wires = Wires()
    wires.equip([Equipment("sw1", "fake", budget_watts=30.0, stagger=0.0)])
    one, two = supply(wires, board("b1")), supply(wires, board("b2", watts=31.0))
    await one.get()
    await two.get()
    await one.set(ON)
    budget = wires._queue("sw1").turns
    assert budget.budget.watts() == 20
    with pytest.raises(DriverError, match="31 W, but sw1 has 30 W"):
        await two.set(ON)
    wires.equip([Equipment("sw1", "fake", budget_watts=300.0, stagger=0.0)])
    await two.set(ON)
    assert budget.budget.watts() == 51
    wires.forget("b1")
    assert budget.budget.watts() == 31


async def test_a_board_that_moved_to_other_equipment_counts_there_alone() -> None:
    """No watts stay behind at the port a board was unplugged from."""
    wires = Wires()
    wires.equip([Equipment("sw1", "fake"), Equipment("sw2", "fake")])
    supply(wires, board("b1"))
    supply(wires, board("b1", power=(Binding("fake", "sw2"),)))
    assert [wires._queue(name).turns.budget.watts() for name in ("sw1", "sw2")] == [0, 20]
    wires.power(board("b1", power=(Binding("no-such-driver", "sw2"),)))
    assert wires._queue("sw2").turns.budget.watts() == 0


def test_only_what_is_reached_in_another_way_is_told_to_have_changed() -> None:
    """A budget is taken over at once; boards that hang elsewhere are not disturbed by a change."""
    wires = Wires()
    one, two = Equipment("sw1", "fake"), Equipment("sw2", "fake")
    assert wires.equip([one, two]) == {"sw1", "sw2"}
    assert wires.equip([replace(one, budget_watts=30.0, stagger=2.0), two]) == set()
    assert wires.equip([one, replace(two, params={"min_off_seconds": 3})]) == {"sw2"}
    assert wires.equip([two]) == {"sw1", "sw2"}
