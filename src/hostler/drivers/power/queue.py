"""One serial queue per equipment, and switching that is believed only when read back.

Many switches and relay cards take one command at a time and some lose the second of two. So each
equipment has its own queue; nothing here is shared between two equipments, and no one waits in a
queue for a board's minimum off time, for its watts or for its power to settle: other ports go first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hostler.drivers.clock import Clock, RealClock
from hostler.drivers.errors import DidNotHappen, DriverError, DriverTimeout
from hostler.drivers.power.turns import SwitchOnTurns
from hostler.model.power import PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.drivers.power.protocol import PowerDriver
    from hostler.drivers.power.turns import Told

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """What came of one switch.

    Attributes:
        state: What was asked for, and so what is, as far as ``verified`` goes.
        verified: True when reading back showed it; False when the equipment cannot tell.
        reading: The last reading, if any.
        seconds: From asking to knowing.
        changed: False when it was so already and nothing was sent.
    """

    state: PowerState
    verified: bool
    reading: PowerReading | None
    seconds: float
    changed: bool = True


class EquipmentQueue:
    """Takes its calls one at a time, first come first served, each with a hard deadline.

    Args:
        name: The equipment's name, for messages.
        clock: Time; tests hand in their own.
        call_seconds: Hard deadline of one driver call.
        poll_seconds: Pause between two readings while waiting for a change.

    Attributes:
        turns: Who may be switched on when, and the watts that are taken.
    """

    def __init__(
        self, name: str, clock: Clock | None = None, *, call_seconds: float = 10.0, poll_seconds: float = 0.25
    ) -> None:
        self.name = name
        self.clock = clock or RealClock()
        self.call_seconds = call_seconds
        self.poll_seconds = poll_seconds
        self._turn = asyncio.Lock()  # FIFO
        self._off_since: dict[str, float] = {}
        self.turns = SwitchOnTurns(name, self.clock, self.call)

    async def call(self, job: Callable[[], Awaitable[T]]) -> T:
        """Run one driver call when its turn comes.

        Raises:
            DriverTimeout: When the call itself takes longer than ``call_seconds``; its turn not counted.
        """
        async with self._turn:
            return await self._within_deadline(job)

    async def read(self, outlet: str, driver: PowerDriver) -> PowerReading:
        """Read one outlet when its turn comes.

        Raises:
            DriverError: What the driver raised, or DriverTimeout.
        """
        reading = await self.call(driver.get)
        self.turns.seen(outlet, reading)
        return reading

    async def switch(
        self,
        outlet: str,
        driver: PowerDriver,
        state: PowerState,
        *,
        seconds: float = 30.0,
        told: Told = lambda _: None,
    ) -> SwitchResult:
        """Switch one outlet and read back until it is so.

        Switching on waits until the outlet has been off for the driver's minimum off time, and then for its
        turn: a pause after the one before it, and enough watts. An outlet whose off time is not known (after
        a restart) counts as off since it was first seen off.
        Something that could not be read is asked again until the deadline; UNKNOWN is never off.

        Args:
            outlet: Names the outlet within this equipment, for its off time (the board's name does).
            driver: The outlet's driver.
            state: ON or OFF.
            seconds: Deadline of the whole, minimum off time and the wait for its turn not counted.
            told: Told what it waits for, and an empty text when that is over; while it waits it may be
                cancelled without harm.

        Returns:
            The result; not verified when the equipment cannot tell.

        Raises:
            DidNotHappen: The equipment agreed, but its readings show the opposite until the deadline.
            EquipmentRefused: It needs more watts than the equipment has.
            DriverError: What the driver raised: from set at once, from get when it lasts until the deadline.
        """
        started = self.clock.now()
        if state is PowerState.OFF:
            result = await self._set(outlet, driver, state, seconds)
            self._off_since[outlet] = self.clock.now()
            if result is None or result.state is not PowerState.ON:
                self.turns.switched_off(outlet)
            return self._result(state, result, started)
        before = await self._look(outlet, driver)
        if before is not None and before.state is PowerState.ON:
            self._off_since.pop(outlet, None)
            return SwitchResult(state, True, before, self.clock.now() - started, changed=False)
        await self._wait_off_time(outlet, driver)
        async with self.turns.turn(outlet, driver, told) as turn:
            started = self.clock.now()
            try:
                result = await self._set(outlet, driver, state, seconds)
            except DidNotHappen:
                turn.off = True
                raise
            self._off_since.pop(outlet, None)
            return self._result(state, result, started)

    async def _set(
        self, outlet: str, driver: PowerDriver, state: PowerState, seconds: float
    ) -> PowerReading | None:
        deadline = self.clock.now() + seconds
        await self.call(lambda: driver.set(state))
        return await self._read_back(outlet, driver, state, deadline)

    def _result(self, state: PowerState, reading: PowerReading | None, started: float) -> SwitchResult:
        verified = reading is not None and reading.state is state
        return SwitchResult(state, verified, reading, self.clock.now() - started)

    async def _look(self, outlet: str, driver: PowerDriver) -> PowerReading | None:
        if not driver.capabilities.can_read:
            return None
        try:
            return await self.read(outlet, driver)
        except DriverError:
            return None  # set() will meet the same trouble and say so

    async def _wait_off_time(self, outlet: str, driver: PowerDriver) -> None:
        off_since = self._off_since.setdefault(outlet, self.clock.now())
        remaining = off_since + driver.capabilities.min_off_seconds - self.clock.now()
        if remaining > 0:
            await self.clock.sleep(remaining)

    async def _read_back(
        self, outlet: str, driver: PowerDriver, state: PowerState, deadline: float
    ) -> PowerReading | None:
        if not driver.capabilities.can_read:
            return None
        last: PowerReading | None = None
        trouble: DriverError | None = None
        while True:
            try:
                last = await self.read(outlet, driver)
                trouble = None
            except DriverError as error:
                trouble = error
            if trouble is None and last is not None and last.state is state:
                return last
            if self.clock.now() + self.poll_seconds > deadline:
                break
            await self.clock.sleep(self.poll_seconds)
        if trouble is not None:
            raise trouble
        if last is not None and last.state is not PowerState.UNKNOWN:
            raise DidNotHappen(
                f"{self.name}: agreed to switch {state}, but reads {last.state} ({last.detail or 'bare'})"
            )
        return last

    async def _within_deadline(self, job: Callable[[], Awaitable[T]]) -> T:
        # Both sides run on the injected clock, so that a test need not wait for a real deadline.
        work = asyncio.ensure_future(job())
        alarm = asyncio.ensure_future(self.clock.sleep(self.call_seconds))
        try:
            await asyncio.wait([work, alarm], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise DriverTimeout(
                    f"{self.name}: a call took longer than {self.call_seconds:g} s; it may hang"
                )
            return work.result()
        finally:
            work.cancel()
            alarm.cancel()
