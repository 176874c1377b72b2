"""What a rack tells the hub: held until the link takes it, in the order it happened."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.link.port import LinkError

if TYPE_CHECKING:
    from hostler.link.port import RackLink
    from hostler.model.json import Document
    from hostler.model.trace import TraceEvent

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
"""Pause after the link did not take something, before it is offered again."""

_COMPLAIN_SECONDS = 30.0
"""How often it is said that the link takes nothing."""

_UNSENT_EVENTS = 20_000
"""Trace events held while the link does not take them; older ones are dropped, and their number is told."""


class Uplink:
    """The way up.

    Args:
        link: The rack's end of the link.
    """

    def __init__(self, link: RackLink) -> None:
        self._link = link
        self._events: deque[TraceEvent] = deque()
        self._dropped = 0
        self._complained = -_COMPLAIN_SECONDS
        self._event_there = asyncio.Event()

    def publish(self, event: TraceEvent) -> None:
        """Add an event to history; never blocks."""
        if len(self._events) >= _UNSENT_EVENTS:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._event_there.set()

    async def run(self) -> None:
        """Send events until cancelled."""
        while True:
            await self._event_there.wait()
            self._event_there.clear()
            batch = [self._events.popleft() for _ in range(len(self._events))]
            if self._dropped:
                text = f"{self._dropped} events were dropped because they came faster than they could be kept"
                batch.append(replace(batch[-1], source="run", kind="dropped", text=text, data={}))
                self._dropped = 0
            # Started in order, so they are kept in order; together, so they share an fsync.
            sent = await asyncio.gather(*map(self._sent, batch))
            if not all(sent):
                self._events.extendleft(
                    event for event, done in reversed([*zip(batch, sent, strict=True)]) if not done
                )
                self._event_there.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def observe(self, key: str, document: Document | None) -> None:
        """Tell what is seen of something now, None: it is gone; however long the link does not take it."""
        while True:
            try:
                await self._link.observe(key, document)
            except LinkError as error:
                self._complain(error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _sent(self, event: TraceEvent) -> bool:
        try:
            await self._link.publish(event.to_json())
        except LinkError as error:
            self._complain(error)
            return False
        return True

    def _complain(self, error: LinkError) -> None:
        """Say what is wrong with the link, but not for every event."""
        now = time.monotonic()
        if now >= self._complained + _COMPLAIN_SECONDS:
            self._complained = now
            log.warning("the link does not take what this rack tells: %s; trying again", error)
