"""Switching: one call at a time per equipment, read back, minimum off time, deadlines."""

from __future__ import annotations

import asyncio

import pytest

from hostler.drivers.errors import DidNotHappen, DriverTimeout, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.fake import FakePower
from hostler.drivers.power.queue import EquipmentQueue
from hostler.model.power import PowerCapabilities, PowerReading, PowerState
from stepped_clock import SteppedClock

ON, OFF, UNKNOWN = PowerState.ON, PowerState.OFF, PowerState.UNKNOWN


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def queue(clock: SteppedClock) -> EquipmentQueue:
    return EquipmentQueue("rack1", clock, call_seconds=5.0, poll_seconds=0.5)


async def test_a_switch_is_verified_when_it_reads_so(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """The result of a switch that reads back is verified."""
    result = await clock.run(queue.switch("a", FakePower(), ON))
    assert (result.state, result.verified, result.changed) == (ON, True, True)


async def test_what_is_on_is_not_switched_on_again(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """A board that is on keeps running: nothing is sent."""
    power = FakePower()
    power.state = ON
    result = await clock.run(queue.switch("a", power, ON))
    assert not result.changed
    assert power.history == []


async def test_a_slow_change_is_waited_for(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """Readings that lag behind are read again until the change shows."""
    power = FakePower()
    power.misbehaviour.lag = 4
    assert (await clock.run(queue.switch("a", power, ON))).verified


async def test_a_lie_is_found_out(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """Equipment that agrees and does nothing ends in DidNotHappen at the deadline."""
    power = FakePower()
    power.misbehaviour.lie = True
    began = clock.now()
    with pytest.raises(DidNotHappen, match="agreed to switch on, but reads off"):
        await clock.run(queue.switch("a", power, ON, seconds=10))
    assert clock.now() - began <= 10


async def test_unknown_is_not_off(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """A supply that cannot be read gives an unverified result, never a verified off."""
    power = FakePower()
    power.misbehaviour.mute = True
    result = await clock.run(queue.switch("a", power, OFF, seconds=3))
    assert not result.verified
    assert result.reading is not None
    assert result.reading.state is UNKNOWN


async def test_equipment_that_cannot_be_read_is_not_verified(
    clock: SteppedClock, queue: EquipmentQueue
) -> None:
    """Without read-back the set is believed, and said to be unverified."""
    power = FakePower()
    power.capabilities = PowerCapabilities(can_read=False, min_off_seconds=0)
    result = await clock.run(queue.switch("a", power, ON))
    assert (result.verified, result.reading) == (False, None)


async def test_the_minimum_off_time_is_kept(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """Switched off and on again, the outlet was off for at least the driver's minimum."""
    power = FakePower(min_off_seconds=7)
    power.state = ON
    began = clock.now()
    await clock.run(queue.switch("a", power, OFF))
    await clock.run(queue.switch("a", power, ON))
    assert power.history == [OFF, ON]
    assert clock.now() - began >= 7


async def test_an_off_time_nobody_saw_starts_now(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """After a restart an outlet found off is kept off for the whole minimum: it may just have been cut."""
    began = clock.now()
    await clock.run(queue.switch("a", FakePower(min_off_seconds=7), ON))
    assert clock.now() - began >= 7


async def test_off_time_is_not_waited_in_the_queue(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """While one outlet waits for its off time, another of the same equipment is switched."""
    slow, quick = FakePower(min_off_seconds=60), FakePower()

    async def quick_one() -> float:
        await queue.switch("quick", quick, ON)
        return clock.now()

    async def both() -> tuple[object, float]:
        return await asyncio.gather(queue.switch("slow", slow, ON), quick_one())

    began = clock.now()
    _, done = await clock.run(both())
    assert done - began < 1


async def test_one_call_at_a_time(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """Calls to one equipment never overlap, however many boards want it."""
    running = 0
    most = 0

    class Slow(FakePower):
        async def get(self) -> PowerReading:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await clock.sleep(1)
            running -= 1
            return await super().get()

    async def all_of_them() -> None:
        await asyncio.gather(*(queue.read("a", Slow()) for _ in range(5)))

    await clock.run(all_of_them())
    assert most == 1


async def test_a_hanging_call_frees_the_queue_and_other_equipment_never_waits(clock: SteppedClock) -> None:
    """A call that hangs ends at its deadline; the next in the queue goes on, other queues are untouched."""
    stuck, healthy = EquipmentQueue("stuck", clock, call_seconds=5), EquipmentQueue("healthy", clock)
    hanging, fine = FakePower(), FakePower()
    hanging.misbehaviour.hang = True

    async def timed(queue: EquipmentQueue, power: FakePower) -> float:
        began = clock.now()
        await queue.read("a", power)
        return clock.now() - began

    async def together() -> list[float | BaseException]:
        return await asyncio.gather(
            timed(stuck, hanging), timed(stuck, fine), timed(healthy, fine), return_exceptions=True
        )

    first, behind, elsewhere = await clock.run(together())
    assert isinstance(first, DriverTimeout)
    assert behind == 5
    assert elsewhere == 0


@pytest.mark.parametrize(
    ("fault", "error"), [("refuse", EquipmentRefused), ("unreachable", EquipmentUnreachable)]
)
async def test_a_refusal_is_passed_on(
    clock: SteppedClock, queue: EquipmentQueue, fault: str, error: type[Exception]
) -> None:
    """What the driver says is what the caller gets."""
    power = FakePower()
    setattr(power.misbehaviour, fault, True)
    with pytest.raises(error):
        await clock.run(queue.switch("a", power, ON, seconds=2))


async def test_cancelling_a_caller_frees_the_queue(clock: SteppedClock, queue: EquipmentQueue) -> None:
    """A caller that goes away in mid-call leaves nothing locked."""
    hanging = FakePower()
    hanging.misbehaviour.hang = True
    caller = asyncio.ensure_future(queue.read("a", hanging))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    assert (await clock.run(queue.read("b", FakePower()))).state is OFF
