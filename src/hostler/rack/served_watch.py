"""Tells of a board that is switched on to boot from a network that nobody here serves at that moment."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.json import Document

SETTLE_SECONDS: Final = 30.0
"""How long the boot services may take to start, or to be replaced, while a board's firmware is on its way."""


class ServedWatch:
    """Looks whether the network of a board that boots is served.

    Args:
        trouble: Returns why a network is not served, or nothing.
        silent: Tells whether a board that was switched on at this Unix time is not heard yet.
        tell: Takes what was found.
        settle: See ``SETTLE_SECONDS``.
    """

    def __init__(
        self,
        trouble: Callable[[str], str],
        silent: Callable[[str, float], bool],
        tell: Callable[[TraceEvent], None],
        settle: float = SETTLE_SECONDS,
    ) -> None:
        self._trouble = trouble
        self._silent = silent
        self._tell = tell
        self._settle = settle

    def note(self, event: TraceEvent, network: str, tasks: asyncio.TaskGroup) -> None:
        """Take an event of a board that is to boot from a network, and look when it was switched on."""
        if (event.source, event.kind) == ("power", "on") and event.board is not None:
            tasks.create_task(self._look(event, event.board, network), name=f"service of {event.board}")

    async def _look(self, on: TraceEvent, board: str, network: str) -> None:
        await asyncio.sleep(self._settle)
        why = self._trouble(network)
        if not why or not self._silent(board, on.at):
            return
        text = f"{board} cannot be heard: network {network} is not served, because {why}"
        data: Document = {"network": network}
        self._tell(TraceEvent(time.time(), "dhcp", "not-served", text, board, boot=on.boot, data=data))
