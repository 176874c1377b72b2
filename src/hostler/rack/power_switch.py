"""Switching a board's supply, reading it, and telling what came of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.drivers.errors import DidNotHappen, DriverError
from hostler.model.keeper_view import SetPower, working
from hostler.model.power import PowerReading, PowerState, draws_otherwise
from hostler.model.power_match import MENDS, agrees

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.keeper_view import Action
    from hostler.rack.boot_direction import BootDirection
    from hostler.rack.keeper_port import BoardPower
    from hostler.rack.live_view import LiveView

POLL_SECONDS = 5.0
"""How often a board's supply is read while nothing is being switched."""


class PowerSwitch:
    """The supply of one board.

    Args:
        live: What is known of the board.
        power: Its supply, or None.
        boots: Hears of each switching.
    """

    def __init__(self, live: LiveView, power: BoardPower | None, boots: BootDirection) -> None:
        self._live = live
        self._power = power
        self._boots = boots
        self._watts: float | None = None  # as told last

    async def set(self, state: PowerState, decision: Callable[[], Action]) -> None:
        """Switch; while that waits for its turn, it is given up as soon as something else is to be done."""
        live = self._live
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._switch(state))
            while not work.done():
                live.wake.clear()
                wake = tasks.create_task(live.wake.wait())
                await asyncio.wait({work, wake}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
                if live.now.seen.waits and decision() != SetPower(state):
                    work.cancel()
                    await asyncio.wait({work})

    async def poll(self, beside: Callable[[], None]) -> None:
        """Read the supply now and then until cancelled, so that what is shown is what is.

        Args:
            beside: Looked at as often.
        """
        live = self._live
        if self._power is None:
            live.dirty.set()  # nothing will be read that could replace what was seen on a wire that is gone
        while self._power is not None:
            try:
                reading = await self._power.get()
            except DriverError as error:
                reading = PowerReading(PowerState.UNKNOWN, detail=str(error))
            beside()
            if live.now.seen.power_error and not working(live.now) and self._right(reading):
                live.see(power_error="", power_tried=0.0)
            if reading != live.now.seen.power:
                if reading.state is not live.now.seen.power.state:
                    live.trace("power", "observed", f"the supply reads {reading.state} ({reading.detail})")
                self._trace_watts(reading)
                live.see(power=reading)
            live.see(looked=True)
            await asyncio.sleep(POLL_SECONDS)

    async def _switch(self, state: PowerState) -> None:
        assert self._power is not None
        live = self._live
        cycling = live.now.memory.cycling
        try:
            reading, seconds = await self._power.set(state, self._told)
        except DriverError as error:
            live.trace("power", "error", f"could not switch {state}: {error}")
            live.see(power_error=str(error), power_tried=time.time(), sent=None)
            if isinstance(error, DidNotHappen) and not working(live.now):
                self._count_switching()
            return
        if not cycling and not working(live.now):
            self._count_switching()
        live.see(power=reading, sent=state, power_error="", power_tried=0.0)
        await self._boots.powered(on=state is PowerState.ON)
        boot = live.now.memory.boot
        if state is PowerState.ON and boot is not None and not boot.powered:
            await live.remember(boot=replace(boot, powered=True, started=time.time() - seconds))
        watts = f", {reading.watts:g} W" if reading.watts is not None else ""
        how = "verified" if reading.state is state else "not verified"
        text = f"switched {state} in {seconds:.1f} s, {how} ({reading.detail}{watts})"
        self._watts = reading.watts
        live.trace("power", str(state), text, {"seconds": round(seconds, 3), "watts": reading.watts})

    def _told(self, waits: str) -> None:
        """Note what switching on waits for, or that it waits no longer."""
        live = self._live
        if not waits:
            live.see(waits="", waited=time.time())
        elif live.now.seen.waits:
            live.see(waits=waits)
        else:
            live.trace("power", "waits", waits)
            live.see(waits=waits, waits_since=time.time())

    def _count_switching(self) -> None:
        """Count a switching that did not last, or may not: it is not repeated for ever."""
        match = self._live.now.seen.match.switched(time.time())
        self._live.see(match=match)
        if match.given_up:
            text = f"switched {MENDS} times without it lasting; not again before somebody asks for it"
            self._live.trace("power", "given-up", text)

    def _trace_watts(self, reading: PowerReading) -> None:
        boot = self._live.now.memory.boot
        if boot and boot.powered and draws_otherwise(self._watts, reading, time.time() - boot.started):
            self._watts = reading.watts
            self._live.trace("power", "watts", f"draws {reading.watts:g} W", {"watts": reading.watts})

    def _right(self, reading: PowerReading) -> bool:
        live = self._live
        return not live.now.memory.cycling and agrees(reading, live.now.desired.power)
