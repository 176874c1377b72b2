"""The last bytes of a stream, and readers that each have a place of their own in it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

REPLAY_BYTES = 64 << 10
"""Kept for who comes later; with 500 silent viewers-to-be that is 32 MB."""
RING_BYTES = 1 << 20
"""Kept while somebody reads along: at full speed 50 ms, the hiccups of a busy machine."""
_PIECE = 16 << 10
"""Small pieces are put together up to this, so that a trickle does not cost an object a letter."""

_MOST_PIECES = 8192
"""A board that says one letter at a time costs 50 bytes a letter; this bounds it."""


class Ring:
    """The last bytes of a stream whose offsets count from its beginning.

    It holds the pieces as they came, and readers share them: nobody copies what ten read.

    Args:
        watched: Bytes held while there are readers.
        alone: Bytes held while there are none.
    """

    def __init__(self, watched: int = RING_BYTES, alone: int = REPLAY_BYTES) -> None:
        self._bounds = (alone, watched)
        self._readers = 0
        self._pieces: deque[bytes] = deque()
        self._first = 0
        """How many pieces were dropped: what readers count from."""
        self.start = 0
        """Offset of the first byte still held."""
        self.end = 0
        """Offset behind the last byte."""
        self.closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    def append(self, data: bytes) -> None:
        """Add bytes and wake the readers."""
        pieces = self._pieces
        if not self.watched and pieces and len(pieces[-1]) + len(data) <= _PIECE:
            pieces[-1] += data
        else:
            pieces.append(data)
        self.end += len(data)
        bound = self._bounds[self.watched]
        while self.end - self.start - len(pieces[0]) >= bound or len(pieces) > _MOST_PIECES:
            self.start += len(pieces.popleft())
            self._first += 1
        self._wake()

    def close(self) -> None:
        """There will be no more: readers end when they have read all."""
        self.closed = True
        self._wake()

    def last(self, count: int) -> bytes:
        """Return up to ``count`` of the last bytes."""
        found: list[bytes] = []
        left = count
        for piece in reversed(self._pieces):
            if left <= 0:
                break
            found.append(piece[-left:])
            left -= len(piece)
        return b"".join(reversed(found))

    @property
    def watched(self) -> bool:
        """Whether somebody reads along."""
        return self._readers > 0

    def join(self) -> None:
        """Somebody reads along from now on: more is held."""
        self._readers += 1

    def leave(self) -> None:
        """One reader less."""
        self._readers -= 1

    def place(self) -> int:
        """Return the number of the piece that comes next."""
        return self._first + len(self._pieces)

    def newest(self) -> tuple[int, int]:
        """Return number and offset of the piece from which on the last ``REPLAY_BYTES`` are read."""
        place, offset = self.place(), self.end
        for piece in reversed(self._pieces):
            if self.end - offset + len(piece) > REPLAY_BYTES and offset != self.end:
                break
            place, offset = place - 1, offset - len(piece)
        return place, offset

    def take(self, place: int) -> bytes | None:
        """Return the piece of that number; None: it has not come yet.

        Raises:
            LookupError: It is not held any more.
        """
        if place < self._first:
            raise LookupError
        index = place - self._first
        return self._pieces[index] if index < len(self._pieces) else None

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Return when something holds that only news can make true, or when no more will come."""
        while not ready() and not self.closed:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Viewer:
    """One who reads along. It holds no bytes of its own, so a slow one costs nobody anything.

    One too slow for the ring loses its place and reads ``[... n bytes skipped ...]`` there.
    """

    def __init__(self, ring: Ring, replay: bytes = b"") -> None:
        self._ring = ring
        self._replay = replay
        self._place = ring.place()
        self._offset = ring.end
        self._left = False
        self.skipped = 0
        """Bytes it was too slow for so far."""
        ring.join()

    async def read(self, limit: int = 256 << 10) -> bytes:
        """Return the next bytes once there are some, about ``limit``; ``b""`` when no more will come."""
        if self._replay:
            replay, self._replay = self._replay, b""
            return replay
        await self._ring.wait(lambda: self._ring.end > self._offset)
        found: list[bytes] = []
        size = 0
        try:
            while size < limit and (piece := self._ring.take(self._place)) is not None:
                found.append(piece)
                size += len(piece)
                self._place += 1
        except LookupError:
            return self._catch_up()
        self._offset += size
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        """Read no more; harmless when closed already."""
        if not self._left:
            self._left = True
            self._ring.leave()

    def _catch_up(self) -> bytes:
        """Go on near the end: what is held longest would be gone again before it is read."""
        place, offset = self._ring.newest()
        skipped = offset - self._offset
        self.skipped += skipped
        self._place, self._offset = place, offset
        return b"\r\n[... %d bytes skipped ...]\r\n" % skipped

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data
