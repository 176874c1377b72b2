"""One serial queue per equipment, and switching that is believed only when read back.

Many switches and relay cards take one command at a time and some lose the second of two. So each
equipment has its own queue; nothing here is shared between two equipments, and no one waits in a
queue for a board's minimum off time or for its power to settle: other ports go first meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hostler.drivers.clock import Clock, RealClock
from hostler.drivers.errors import DidNotHappen, DriverError, DriverTimeout
from hostler.model.power import PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.drivers.power.protocol import PowerDriver

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

    async def call(self, job: Callable[[], Awaitable[T]]) -> T:
        """Run one driver call when its turn comes.

        Raises:
            DriverTimeout: When the call itself takes longer than ``call_seconds``; its turn not counted.
        """
        async with self._turn:
            return await self._within_deadline(job)

    async def read(self, driver: PowerDriver) -> PowerReading:
        """Read one board's supply when its turn comes.

        Raises:
            DriverError: What the driver raised, or DriverTimeout.
        """
        return await self.call(driver.get)

    async def switch(
        self, outlet: str, driver: PowerDriver, state: PowerState, *, seconds: float = 30.0
    ) -> SwitchResult:
        """Switch one outlet and read back until it is so.

        Switching on waits until the outlet has been off for the driver's minimum off time. An outlet
        whose off time is not known (after a restart) counts as off since it was first seen off.
        Something that could not be read is asked again until the deadline; UNKNOWN is never off.

        Args:
            outlet: Names the outlet within this equipment, for its off time (the board's name does).
            driver: The outlet's driver.
            state: ON or OFF.
            seconds: Deadline of the whole, minimum off time not counted.

        Returns:
            The result; not verified when the equipment cannot tell.

        Raises:
            DidNotHappen: The equipment agreed, but its readings show the opposite until the deadline.
            DriverError: What the driver raised: from set at once, from get when it lasts until the deadline.
        """
        started = self.clock.now()
        if state is PowerState.ON:
            before = await self._look(driver)
            if before is not None and before.state is PowerState.ON:
                self._off_since.pop(outlet, None)
                return SwitchResult(state, True, before, self.clock.now() - started, changed=False)
            await self._wait_off_time(outlet, driver)
        waited = self.clock.now() - started
        deadline = self.clock.now() + seconds
        await self.call(lambda: driver.set(state))
        result = await self._read_back(driver, state, deadline)
        if state is PowerState.OFF:
            self._off_since[outlet] = self.clock.now()
        else:
            self._off_since.pop(outlet, None)
        return SwitchResult(
            state, result is not None and result.state is state, result, self.clock.now() - started - waited
        )

    async def cycle(self, outlet: str, driver: PowerDriver, *, seconds: float = 30.0) -> SwitchResult:
        """Switch off, keep off for the minimum time, switch on. Raises as ``switch`` does."""
        await self.switch(outlet, driver, PowerState.OFF, seconds=seconds)
        return await self.switch(outlet, driver, PowerState.ON, seconds=seconds)

    async def _look(self, driver: PowerDriver) -> PowerReading | None:
        if not driver.capabilities.can_read:
            return None
        try:
            return await self.read(driver)
        except DriverError:
            return None  # set() will meet the same trouble and say so

    async def _wait_off_time(self, outlet: str, driver: PowerDriver) -> None:
        off_since = self._off_since.setdefault(outlet, self.clock.now())
        remaining = off_since + driver.capabilities.min_off_seconds - self.clock.now()
        if remaining > 0:
            await self.clock.sleep(remaining)

    async def _read_back(
        self, driver: PowerDriver, state: PowerState, deadline: float
    ) -> PowerReading | None:
        if not driver.capabilities.can_read:
            return None
        last: PowerReading | None = None
        trouble: DriverError | None = None
        while True:
            try:
                last = await self.read(driver)
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
