"""Telling who sits at a console what is about to happen to it: the claim ends, the board is switched off."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hostler.hub.errors import Refusal

if TYPE_CHECKING:
    from hostler.hub.hub import Hub
    from hostler.hub.records import Event

log = logging.getLogger(__name__)

TOLD = frozenset({"claim.ending", "power.idle-soon", "board.maintenance-planned"})
"""Events whose text is shown on the console of the boards they are about."""

_AT_ONCE = 16  # notices under way; a rack that is away takes its whole timeout for each


class Notices:
    """Shows events on consoles. What happened while the hub was away is not shown any more: it is history."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Follow what happens until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            async for event in self._hub.history.follow(None):
                if event is None or event.kind not in TOLD:
                    continue
                for board in self._boards(event):
                    await self._slots.acquire()
                    tasks.create_task(self._show(board, event), name=f"notice on {board}")

    def _boards(self, event: Event) -> tuple[str, ...]:
        """Return the boards an event is about that have a console."""
        claim = self._hub.state.claims.get(event.claim or "")
        names = (event.board,) if event.board is not None else claim.boards if claim is not None else ()
        records = (self._hub.state.boards.get(name or "") for name in names)
        return tuple(record.name for record in records if record is not None and record.board.console)

    async def _show(self, board: str, event: Event) -> None:
        try:
            await self._hub.metal.notice(board, event.text)
        except Refusal as refusal:  # nobody sees it there; the event is told in every other way
            log.info('"%s" is not shown on the console of board "%s": %s', event.kind, board, refusal)
        finally:
            self._slots.release()
