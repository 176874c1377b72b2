"""A line: the bytes of one ssh connection, whatever carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

_BLOCK = 64 * 1024


class Line(Protocol):
    """Bytes both ways, each way ending by itself."""

    async def read(self) -> bytes:
        """Return the next bytes; none when the other side says nothing more."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the other side takes none. Raises ConnectionError when it has gone."""
        ...

    async def end(self) -> None:
        """Say nothing more."""
        ...


class StreamLine:
    """A line on a TCP connection or a socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """See Line."""
        try:
            return await self._reader.read(_BLOCK)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        """See Line."""
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """See Line."""
        if not self._writer.is_closing() and self._writer.can_write_eof():
            self._writer.write_eof()
