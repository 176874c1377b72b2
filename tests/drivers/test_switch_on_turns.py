"""Switching on in turn: a pause between two, never too many watts, and waits that can be given up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from lamps import Lamp, poe_switch

from hostler.drivers.errors import DidNotHappen, EquipmentRefused
from hostler.drivers.power.fake import FakePower
from hostler.drivers.power.protocol import ReadsBudget
from hostler.drivers.power.queue import EquipmentQueue
from hostler.drivers.power.snmp_poe import SnmpPoe
from hostler.model.power import PowerState
from hostler.model.power_budget import PoolReading
from stepped_clock import SteppedClock

ON, OFF = PowerState.ON, PowerState.OFF


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def queue(clock: SteppedClock) -> EquipmentQueue:
    made = EquipmentQueue("sw1", clock)
    made.turns.limit(30.0, 2.0)
    return made


async def _outlets(queue: EquipmentQueue, **watts: float) -> dict[str, FakePower]:
    """Bind boards that are off and read them once, as their keepers do."""
    drivers = {f"{board}/0": FakePower(board) for board in watts}
    for (outlet, driver), needs in zip(drivers.items(), watts.values(), strict=True):
        queue.turns.expect(outlet, driver, needs)
        await queue.read(outlet, driver)
    return drivers


async def test_boards_come_on_one_after_the_other(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """However many are asked for at once, the pause lies between any two."""
    came: list[float] = []

    class Noted(FakePower):
        async def set(self, state: PowerState) -> None:
            came.append(clock.now())
            await super().set(state)

    async def all_of_them() -> None:
        await asyncio.gather(*(queue.switch(f"b{n}/0", Noted(), ON) for n in range(5)))

    await clock.run(all_of_them())
    assert [later - earlier for earlier, later in itertools.pairwise(came)] == [2.0] * 4


async def test_who_is_too_much_waits_until_another_goes_off(
    clock: SteppedClock, queue: EquipmentQueue
) -> None:
    """The wait is told with its reason, ends by itself when watts are free, and is told to have ended."""
    said: list[str] = []

    async def story() -> None:
        drivers = await _outlets(queue, a=20, b=20)
        await queue.switch("a/0", drivers["a/0"], ON)
        waiting = asyncio.ensure_future(queue.switch("b/0", drivers["b/0"], ON, told=said.append))
        await clock.sleep(600)
        assert drivers["b/0"].history == []
        assert said == ["waits for 20 W on sw1: 20 of 30 W are taken by a"]
        await queue.switch("a/0", drivers["a/0"], OFF)
        assert (await waiting).verified
        assert said[1:] == [""]

    await clock.run(story())


async def test_a_wait_that_is_given_up_leaves_the_line(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """Who is cancelled while waiting blocks nobody behind and takes nothing."""

    async def story() -> None:
        drivers = await _outlets(queue, a=20, big=25, small=10)
        await queue.switch("a/0", drivers["a/0"], ON)
        big = asyncio.ensure_future(queue.switch("big/0", drivers["big/0"], ON))
        await clock.sleep(10)
        small = asyncio.ensure_future(queue.switch("small/0", drivers["small/0"], ON))
        await clock.sleep(10)
        assert not small.done()
        big.cancel()
        assert (await small).verified
        assert queue.turns.budget.line == ()
        assert queue.turns.budget.watts() == 30

    await clock.run(story())


async def test_who_did_not_come_on_gives_its_watts_back(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """A port that agreed and feeds nothing takes nothing."""

    async def story() -> None:
        drivers = await _outlets(queue, a=30, b=30)
        drivers["a/0"].misbehaviour.lie = True
        with pytest.raises(DidNotHappen):
            await queue.switch("a/0", drivers["a/0"], ON, seconds=5)
        assert (await queue.switch("b/0", drivers["b/0"], ON)).verified

    await clock.run(story())


async def test_after_a_restart_what_is_on_counts_by_reading(
    clock: SteppedClock, queue: EquipmentQueue
) -> None:
    """A new program knows nothing: until each outlet was read nobody is switched on."""

    async def story() -> None:
        running, stopped = FakePower("a"), FakePower("b")
        running.state = ON
        queue.turns.expect("a/0", running, 20)
        queue.turns.expect("b/0", stopped, 20)
        waiting = asyncio.ensure_future(queue.switch("b/0", stopped, ON))
        await clock.sleep(30)
        await queue.read("a/0", running)
        await clock.sleep(30)
        assert stopped.history == []
        running.state = OFF
        await queue.read("a/0", running)
        await waiting

    await clock.run(story())


async def test_more_than_there_is_in_all_is_refused(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """A board that can never have its watts is an error at once, with what to correct."""

    async def story() -> None:
        drivers = await _outlets(queue, greedy=31)
        with pytest.raises(EquipmentRefused, match="greedy needs 31 W, but sw1 has 30 W in all; correct"):
            await queue.switch("greedy/0", drivers["greedy/0"], ON)

    await clock.run(story())


async def test_a_hanging_outlet_keeps_its_watts_and_nobody_else_waits_for_it(
    clock: SteppedClock, queue: EquipmentQueue
) -> None:
    """What may be on counts; other boards that fit go on within one call's deadline."""

    async def story() -> None:
        drivers = await _outlets(queue, stuck=10, fine=10, more=15)
        drivers["stuck/0"].misbehaviour.hang = True
        stuck = asyncio.ensure_future(queue.switch("stuck/0", drivers["stuck/0"], ON))
        began = clock.now()
        await queue.switch("fine/0", drivers["fine/0"], ON)
        assert clock.now() - began <= 2 * queue.call_seconds + 4
        more = asyncio.ensure_future(queue.switch("more/0", drivers["more/0"], ON))
        await clock.sleep(60)
        assert not more.done()
        for task in (stuck, more):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    await clock.run(story())


async def test_a_switch_tells_its_own_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3621's pethMainPseTable is read over SNMP, and binds where the file names no budget."""
    monkeypatch.setenv("LAB_COMMUNITY", "test")
    async with poe_switch({1: Lamp(), 2: Lamp()}) as port:
        table = {"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY", "min_off_seconds": 0}
        one, two = (SnmpPoe.from_config(table, {"port": number}) for number in (1, 2))
        assert isinstance(one, ReadsBudget)
        before = await one.budget()
        assert before.limit is not None
        assert before == PoolReading(before.limit, 0.0)
        queue = EquipmentQueue("sw1")
        queue.turns.limit(None, 0.0)
        queue.turns.expect("a/0", one, before.limit - 10)
        queue.turns.expect("b/0", two, 15)
        await queue.read("b/0", two)
        await queue.switch("a/0", one, ON)
        assert (await one.budget()).drawn == 7.0
        said: asyncio.Queue[str] = asyncio.Queue()
        waiting = asyncio.ensure_future(queue.switch("b/0", two, ON, told=said.put_nowait))
        async with asyncio.timeout(60):
            reason = await said.get()
            assert reason.startswith("waits for 15 W on sw1: ")
            await queue.switch("a/0", one, OFF)
            assert (await waiting).verified
