"""A two-way byte stream between two tasks of one process."""

from __future__ import annotations

import asyncio
from collections import deque

from hostler.link.port import LinkError

_BOUND = 64  # writes in flight before the writer waits for the reader


class _Channel:
    """One direction: a bounded queue that can be closed from either end."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._changed = asyncio.Condition()
        self._closed = False

    async def put(self, data: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or len(self._parts) < _BOUND)
            if self._closed:
                raise LinkError("the stream is closed")
            self._parts.append(data)
            self._changed.notify_all()

    async def get(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._parts))
            data = b"".join(self._parts)
            self._parts.clear()
            self._changed.notify_all()
            return data

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


class MemoryStream:
    """One end; see ``hostler.link.port.Stream``."""

    def __init__(self, incoming: _Channel, outgoing: _Channel) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    @classmethod
    def pair(cls) -> tuple[MemoryStream, MemoryStream]:
        """Make both ends of a stream."""
        one, other = _Channel(), _Channel()
        return cls(one, other), cls(other, one)

    async def read(self) -> bytes:
        """Return what has come; empty once the stream is closed and everything was read."""
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        """Send; waits while the reader is far behind; raises LinkError once the stream is closed."""
        await self._outgoing.put(data)

    async def close(self) -> None:
        """Close both directions; what was sent can still be read."""
        await self._outgoing.close()
        await self._incoming.close()
