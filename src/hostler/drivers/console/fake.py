"""A serial line in memory: what is written to the board comes back, as from a board that echoes.

Equipment and binding: nothing needed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import EquipmentUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeConsole:
    """A board that echoes. ``unreachable`` makes the next open fail; ``say`` speaks for the board."""

    def __init__(self) -> None:
        self.unreachable = False
        self.written = bytearray()
        self._streams: list[FakeConsoleStream] = []

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> FakeConsole:
        """Make a line.

        Raises:
            DriverConfigError: Names a key that is not known.
        """
        settings.only(equipment)
        settings.only(binding)
        return cls()

    async def open(self) -> FakeConsoleStream:
        """Open the line, or raise EquipmentUnreachable when told to."""
        await asyncio.sleep(0)
        if self.unreachable:
            raise EquipmentUnreachable("fake console: nothing listens")
        stream = FakeConsoleStream(self)
        self._streams.append(stream)
        return stream

    def say(self, data: bytes) -> None:
        """Let the board speak to every open line."""
        for stream in self._streams:
            stream.deliver(data)

    def hang_up(self) -> None:
        """Close every line from the far side."""
        for stream in self._streams:
            stream.end()
        self._streams.clear()


class FakeConsoleStream:
    """An open line to a FakeConsole."""

    def __init__(self, console: FakeConsole) -> None:
        self._console = console
        self._waiting = bytearray()
        self._closed = False
        self._news = asyncio.Event()

    async def read(self) -> bytes:
        """Return what the board said; ``b""`` when closed."""
        while not self._waiting and not self._closed:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    async def write(self, data: bytes) -> None:
        """Send to the board, which echoes.

        Raises:
            EquipmentUnreachable: The line is closed.
        """
        if self._closed:
            raise EquipmentUnreachable("fake console: the line is closed")
        self._console.written += data
        self._console.say(data)
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Close the line."""
        self.end()
        await asyncio.sleep(0)

    def deliver(self, data: bytes) -> None:
        """Take bytes from the board."""
        if not self._closed:
            self._waiting += data
            self._news.set()

    def end(self) -> None:
        """Mark the line closed."""
        self._closed = True
        self._news.set()
