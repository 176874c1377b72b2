"""What the netboot process has to tell the rack: reports at once, trace events in batches."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import TYPE_CHECKING

from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from hostler.model.json import Document

MAX_EVENTS = 8192
BATCH_EVENTS = 256
GATHER_SECONDS = 0.02


def encode(message: Document) -> bytes:
    """Return a message as one line for the pipe."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Outbox:
    """The child's end of the pipe, for writing.

    Trace events may come from any thread and never wait: if the rack does not keep up, the oldest are
    forgotten and their number is told. Everything else is written at once and never dropped.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._events: deque[TraceEvent] = deque(maxlen=MAX_EVENTS)
        self._dropped = 0
        self._wake = asyncio.Event()
        self._signalled = False

    def emit(self, event: TraceEvent) -> None:
        """Take a trace event, from any thread."""
        if len(self._events) == MAX_EVENTS:
            self._dropped += 1  # two threads at once may count one too few; nobody may wait for a lock here
        self._events.append(event)
        if not self._signalled:
            self._signalled = True
            # At the end of the process the loop may be gone before the last packet thread.
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._wake.set)

    def send(self, message: Document) -> None:
        """Write a message that must arrive; in the loop's thread."""
        self._writer.write(encode(message))

    async def run(self) -> None:
        """Write trace events as they come, until cancelled or the rack is gone."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._signalled = False
            # What belongs together comes together: one line of a boot is seldom alone.
            await asyncio.sleep(GATHER_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write all trace events there are; waits while the rack does not read."""
        while self._events or self._dropped:
            lines: list[bytes] = []
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                lines.append(encode({"t": "event", **_lost(dropped).to_json()}))
            while self._events and len(lines) < BATCH_EVENTS:
                lines.append(encode({"t": "event", **self._events.popleft().to_json()}))
            self._writer.write(b"".join(lines))
            await self._writer.drain()


def _lost(count: int) -> TraceEvent:
    return TraceEvent(
        time.time(),
        "run",
        "dropped",
        f"{count} trace events were dropped: too many came at once",
        data={"events": count},
    )
