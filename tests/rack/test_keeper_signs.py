"""What a keeper tells of use and of power, and what it does while it waits for its turn."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.keeper_view import Memory, View
from hostler.model.power import PowerReading, PowerState
from hostler.model.seam import BootRecord, Desired, Observed
from hostler.rack.keeper import ACTIVITY_SECONDS, Keeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hostler.model.trace import TraceEvent

ON, OFF = PowerState.ON, PowerState.OFF
BOARD = Board("b1", "pc", "boot", ("52:54:00:00:00:01",), power=(Binding("fake"),))


class Supply:
    """A supply that waits for watts until it is let."""

    def __init__(self, state: PowerState = OFF, *, waits: bool = False) -> None:
        self.state = state
        self.sets: list[PowerState] = []
        self.given_up = 0
        self.watts: float | None = None
        self.let = asyncio.Event()
        if not waits:
            self.let.set()

    async def set(self, state: PowerState, told: Callable[[str], None]) -> tuple[PowerReading, float]:
        if state is ON and not self.let.is_set():
            told("waits for 13 W")
            try:
                await self.let.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
            finally:
                told("")
        self.sets.append(state)
        self.state = state
        return PowerReading(state), 0.0

    async def get(self) -> PowerReading:
        return PowerReading(self.state, self.watts)


class Console:
    """A console that somebody used at a time."""

    connected = True

    def __init__(self, active_at: float | None) -> None:
        self.active_at = active_at

    def new_boot(self, boot: str) -> None: ...

    def watch(self, pattern: bytes, found: Callable[[str], None]) -> None: ...


class Port:
    """Takes what the keeper tells."""

    def __init__(self) -> None:
        self.kept: dict[str, Memory] = {}
        self.seen: asyncio.Queue[Observed] = asyncio.Queue()
        self.events: list[TraceEvent] = []

    async def keep(self, board: str, memory: Memory) -> None:
        self.kept[board] = memory

    async def tell(self, observed: Observed) -> None:
        self.seen.put_nowait(observed)

    def trace(self, event: TraceEvent) -> None:
        self.events.append(event)

    def answer(self, view: View) -> None: ...

    def missing(self, view: View) -> tuple[str, ...]:  # noqa: ARG002 - part of the port
        return ()

    async def until(self, holds: Callable[[Observed], object]) -> Observed:
        async with asyncio.timeout(60):
            while True:
                observed = await self.seen.get()
                if holds(observed):
                    return observed


def wanted(power: PowerState) -> Desired:
    return Desired(BOARD, "x86-bios", Lifecycle.CLAIMED, "c1", power)


@asynccontextmanager
async def kept(
    supply: Supply, power: PowerState, console: Console | None = None, memory: Memory | None = None
) -> AsyncIterator[tuple[Keeper, Port]]:
    port = Port()
    keeper = Keeper(wanted(power), memory or Memory(), port, supply, console)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper, port
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_use_is_told_coarsely() -> None:
    """A sign of use a minute after the last told is told; one before that is not worth it."""
    later = time.time() + ACTIVITY_SECONDS + 5
    async with kept(Supply(), OFF, Console(later)) as (_, port):
        assert (await port.until(lambda seen: seen.active_at == later)).active_at == later
    async with kept(Supply(), OFF, Console(time.time() + 5)) as (_, port):
        observed = await port.until(lambda seen: seen.power.state is OFF)
        assert observed.active_at is not None
        assert observed.active_at <= observed.at


async def test_a_board_without_a_console_was_used_when_its_keeper_began() -> None:
    """After a restart nobody is switched off for what nobody could have seen."""
    began = time.time()
    async with kept(Supply(), OFF) as (_, port):
        observed = await port.until(lambda seen: seen.power.state is OFF)
        assert observed.active_at is not None
        assert observed.active_at >= began


async def test_a_wait_is_seen_and_given_up_when_the_wish_changes() -> None:
    """While a board waits its keeper listens: off again is at once, and nothing was switched."""
    supply = Supply(waits=True)
    async with kept(supply, ON) as (keeper, port):
        await port.until(lambda seen: seen.power_waits == "waits for 13 W")
        keeper.desire(wanted(OFF))
        await port.until(lambda seen: not seen.power_waits)
        assert (supply.given_up, supply.sets) == (1, [])
        assert [event.kind for event in port.events if event.source == "power"].count("waits") == 1


async def test_a_wait_goes_on_through_news_that_change_nothing() -> None:
    """A reading or a new holder is no reason to lose one's place in line."""
    supply = Supply(waits=True)
    async with kept(supply, ON) as (keeper, port):
        await port.until(lambda seen: seen.power_waits)
        keeper.agent_trouble("something else")
        keeper.desire(wanted(ON))
        await asyncio.sleep(0.05)
        supply.let.set()
        await port.until(lambda seen: seen.power.state is ON)
        assert (supply.given_up, supply.sets) == (0, [ON])


@pytest.mark.parametrize("state", [ON, OFF])
async def test_a_keeper_that_begins_switches_nothing_that_is_right(state: PowerState) -> None:
    """It reads first; the boot that went on goes on."""
    supply = Supply(state)
    memory = Memory(boot=BootRecord("b-1", 1, 1.0, "local", powered=True), boots=1)
    async with kept(supply, state, memory=memory) as (keeper, port):
        await port.until(lambda seen: seen.power.state is state)
        await asyncio.sleep(0.05)
        assert supply.sets == []
        assert keeper.view.memory.boots == 1


async def test_the_watts_of_a_boot_are_in_its_trace() -> None:
    """What the supply measures after power-on is told with the boot it belongs to."""
    supply = Supply(ON)
    supply.watts = 4.2
    boot = BootRecord("boot-1", 1, time.time(), "local", powered=True)
    async with kept(supply, ON, memory=Memory(boot=boot)) as (_, port):
        await port.until(lambda seen: seen.power.watts == 4.2)
    (told,) = [event for event in port.events if (event.source, event.kind) == ("power", "watts")]
    assert (told.text, told.boot, told.data) == ("draws 4.2 W", "boot-1", {"watts": 4.2})
