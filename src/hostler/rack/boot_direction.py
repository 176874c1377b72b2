"""Bringing a board's next boot to where it should come from, by its boot controls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverError
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from hostler.rack.keeper_port import BoardBootControl
    from hostler.rack.live_view import LiveView


class BootDirection:
    """Asks a board's boot controls, and runs the one takeover that may be going on.

    Args:
        live: What is known of the board.
        control: Its boot controls, or None.
    """

    def __init__(self, live: LiveView, control: BoardBootControl | None) -> None:
        self._live = live
        self._control = control
        self._taking_over: asyncio.Task[None] | None = None

    async def direct(self, target: BootTarget, attempt: int, tasks: asyncio.TaskGroup) -> None:
        """Ask the boot controls for the boot that is about to begin; a takeover waits for its power."""
        live, control = self._live, self._control
        boot = live.now.memory.boot
        assert boot is not None
        await self.end_takeover()
        error = ""
        if control is None:
            error = "its bootctl in lab.toml is wrong; the trace of the rack's start says why"
        else:
            try:
                text = await control.direct(target, attempt)
            except DriverError as refused:
                error = str(refused)
            else:
                if text:
                    live.trace("bootctl", str(target), text)
                if control.armed:
                    await live.remember(taking=boot.id)
                    self._taking_over = tasks.create_task(self._take_over(control, boot.id))
        if error:
            live.trace("bootctl", "error", f"could not direct the boot to {target}: {error}")
        # A local boot goes on: network-first firmware is told so by the network, and any other does it.
        live.see(directed=boot.id, direct_error=error if target is BootTarget.NETWORK else "")

    async def powered(self, *, on: bool) -> None:
        """Note that the board was switched: the deadline of a takeover counts from on, and ends with off."""
        if not on:
            await self.end_takeover()
        elif self._control is not None:
            self._control.powered()

    def agent_is_up(self) -> None:
        """End a takeover that has what it is for, whatever it still waits for."""
        if self._taking_over is not None:
            self._taking_over.cancel()

    async def end_takeover(self) -> None:
        """End a takeover, if one goes on, and wait until it has."""
        task, self._taking_over = self._taking_over, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _take_over(self, control: BoardBootControl, boot: str) -> None:
        live = self._live
        try:
            text = await control.take_over()
        except DriverError as error:
            live.trace("bootctl", "error", f"could not take the board over: {error}")
            if live.now.seen.directed == boot:
                live.see(direct_error=str(error))
        else:
            live.trace("bootctl", "taken-over", text)
        if live.now.memory.taking == boot:
            await live.remember(taking=None)
