"""Calling off work that goes on: what ``asyncio.timeout`` is to a clock, this is to somebody's word."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hostler.hub.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class CallOff:
    """Whether somebody has called off a piece of work, and the end of what was doing it.

    Attributes:
        by: Who called it off; empty: nobody.
    """

    def __init__(self) -> None:
        self.by = ""
        self._limits: set[asyncio.Timeout] = set()

    def ask(self, by: str) -> None:
        """End every block of ``heeded``, and any that begins later; the first who asks is named."""
        self.by = self.by or by
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(now)
        self._limits.clear()

    @asynccontextmanager
    async def heeded(self) -> AsyncIterator[None]:
        """Carry out a block until it is called off.

        Raises:
            ConflictError: It was called off.
        """
        if self.by:
            raise self._error()
        try:
            async with asyncio.timeout(None) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if not limit.expired():
                raise  # the block's own
            raise self._error() from None

    def _error(self) -> ConflictError:
        return ConflictError(f"{self.by} called it off", kind="called-off")
