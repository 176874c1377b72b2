"""Waiting for one's turn to be switched on: the shell around ``model.power_budget``."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverError, EquipmentRefused
from hostler.drivers.power.protocol import ReadsBudget
from hostler.model.power import PowerState
from hostler.model.power_budget import Go, Later, Never, PowerBudget, Wish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hostler.drivers.clock import Clock
    from hostler.drivers.power.protocol import PowerDriver
    from hostler.model.power import PowerReading
    from hostler.model.power_budget import PoolReading

    Told = Callable[[str], None]
    """Called with what is waited for, and with an empty text when the wait is over."""

STAGGER_SECONDS = 0.2
"""Pause between two switch-ons where ``lab.toml`` names none. The inrush of a PoE device is over within
75 ms (802.3af T_inrush), that of a mains supply within two periods; a rack of 48 loses ten seconds."""

_LOOK_SECONDS = 5.0
"""How often the equipment's own figures are looked at while watts are missing."""

_WORTH_TELLING_SECONDS = 5.0
"""A wait that is over sooner is not worth an observation."""


@dataclass(slots=True)
class Turn:
    """One switch-on under way; whoever has it says whether the outlet surely reads off at its end."""

    off: bool = False


class SwitchOnTurns:
    """The line of one equipment's outlets that are to be switched on.

    Args:
        name: The equipment's name, for messages.
        clock: Time.
        ask: Runs a call to the equipment when its queue lets it.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        ask: Callable[[Callable[[], Awaitable[PoolReading]]], Awaitable[PoolReading]],
    ) -> None:
        self.budget = PowerBudget(name, stagger=STAGGER_SECONDS)
        self._clock = clock
        self._ask = ask
        self._changed = asyncio.Event()

    def limit(self, watts: float | None, stagger: float | None) -> None:
        """Set what ``lab.toml`` says: watts in all, seconds between two switch-ons."""
        pause = STAGGER_SECONDS if stagger is None else stagger
        self._become(replace(self.budget, limit=watts, stagger=pause))

    def expect(self, outlet: str, driver: PowerDriver, watts: float | None) -> None:
        """Take an outlet into account, before it is first read."""
        pool = driver.pool if isinstance(driver, ReadsBudget) else ""
        self._become(self.budget.expects(Wish(outlet, watts or 0.0, pool)))

    def forget(self, outlet: str) -> None:
        """Take an outlet out of the accounts."""
        self._become(self.budget.forgets(outlet))

    def seen(self, outlet: str, reading: PowerReading) -> None:
        """Take over a reading of an outlet."""
        if reading.state is not PowerState.UNKNOWN:
            self._become(self.budget.reads(outlet, on=reading.state is PowerState.ON))

    def switched_off(self, outlet: str) -> None:
        """Note that an outlet was switched off and does not read on."""
        self._become(self.budget.reads(outlet, on=False))

    @asynccontextmanager
    async def turn(self, outlet: str, driver: PowerDriver, told: Told) -> AsyncIterator[Turn]:
        """Wait until the outlet may be switched on, and keep its watts while that is done.

        Cancelling whoever waits gives the place in the line up.

        Raises:
            EquipmentRefused: It needs more watts than there are in all.
        """
        await self._wait(outlet, driver, told)
        turn = Turn()
        try:
            yield turn
        finally:
            self._become(self.budget.ends(outlet, off=turn.off))

    async def _wait(self, outlet: str, driver: PowerDriver, told: Told) -> None:
        said = ""
        granted = False
        self._become(self.budget.asks(outlet))
        try:
            while True:
                if self.budget.line[0] == outlet:
                    await self._measure(outlet, driver)
                changed = self._changed
                budget, answer = self.budget.turn(outlet, self._clock.now())
                if isinstance(answer, Never):
                    raise EquipmentRefused(answer.reason)
                if isinstance(answer, Go):
                    granted = True
                    self._become(budget)
                    return
                worth = answer.at is None or answer.at > self._clock.now() + _WORTH_TELLING_SECONDS
                if (worth or said) and answer.reason != said:
                    said = answer.reason
                    told(said)
                await self._until_changed(changed, answer)
        finally:
            if not granted:
                self._become(self.budget.leaves(outlet))
            if said:
                told("")

    async def _measure(self, outlet: str, driver: PowerDriver) -> None:
        """Ask the equipment what it has, where that matters; what it does not say is not missed."""
        wish = self.budget.known.get(outlet)
        if wish is None or not wish.watts or not isinstance(driver, ReadsBudget):
            return
        try:
            reading = await self._ask(driver.budget)
        except DriverError:
            return  # setting the outlet will meet the same trouble and say so
        if reading != self.budget.pools.get(wish.pool):
            self._become(self.budget.measured(wish.pool, reading))

    async def _until_changed(self, changed: asyncio.Event, answer: Later) -> None:
        seconds = _LOOK_SECONDS if answer.at is None else max(0.0, answer.at - self._clock.now())
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        bell = asyncio.ensure_future(changed.wait())
        try:
            await asyncio.wait([alarm, bell], return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            bell.cancel()

    def _become(self, budget: PowerBudget) -> None:
        if budget == self.budget:
            return
        self.budget = budget
        # Whoever waits holds the old bell, and the next wait begins with a new one.
        self._changed.set()
        self._changed = asyncio.Event()
