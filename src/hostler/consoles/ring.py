"""The last bytes of a stream, and readers that each have a place of their own in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RING_BYTES = 256 << 10
REPLAY_BYTES = 64 << 10


class Ring:
    """The last ``capacity`` bytes of a stream whose offsets count from its beginning."""

    def __init__(self, capacity: int = RING_BYTES) -> None:
        self._capacity = capacity
        self._bytes = bytearray()
        self.end = 0
        """Offset behind the last byte."""
        self.closed = False
        self._news = asyncio.Event()

    @property
    def start(self) -> int:
        """Offset of the first byte still held."""
        return self.end - len(self._bytes)

    def append(self, data: bytes) -> None:
        """Add bytes and wake the readers."""
        self._bytes += data
        self.end += len(data)
        if len(self._bytes) > 2 * self._capacity:  # twice, so that not every append moves the rest
            del self._bytes[: -self._capacity]
        self._wake()

    def close(self) -> None:
        """There will be no more: readers end when they have read all."""
        self.closed = True
        self._wake()

    def read(self, offset: int, limit: int) -> bytes:
        """Return up to ``limit`` bytes from ``offset``, which must not lie before ``start``."""
        place = offset - self.start
        return bytes(self._bytes[place : place + limit])

    async def wait(self, offset: int) -> None:
        """Return when there are bytes behind ``offset``, or no more will come."""
        while self.end <= offset and not self.closed:
            await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Viewer:
    """One who reads along. It holds no bytes of its own, so a slow one costs nobody anything.

    One too slow for the ring loses its place and reads ``[... n bytes skipped ...]`` there.
    """

    def __init__(self, ring: Ring, replay: int = REPLAY_BYTES) -> None:
        self._ring = ring
        self._offset = max(ring.start, ring.end - replay)

    @property
    def behind(self) -> int:
        """Bytes there are that were not read yet."""
        return self._ring.end - self._offset

    async def read(self, limit: int = 65536) -> bytes:
        """Return the next bytes as soon as there are some; ``b""`` when there will be no more."""
        await self._ring.wait(self._offset)
        if self._offset < self._ring.start:
            place = max(self._ring.start, self._ring.end - REPLAY_BYTES)
            skipped, self._offset = place - self._offset, place
            return b"\r\n[... %d bytes skipped ...]\r\n" % skipped
        data = self._ring.read(self._offset, limit)
        self._offset += len(data)
        return data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data
