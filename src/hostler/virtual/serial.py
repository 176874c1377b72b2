"""The lab's terminal server: one permanent TCP port per board's serial line.

As with a USB adapter, the line stays open while the board behind it is switched off and on. One
client at a time; while one is connected nothing the board says is lost, and a client that stops
taking bytes for long is hung up on. With no client the latest bytes are kept for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

BACKLOG = 256 * 1024
"""Bytes kept while no client is connected, and held back for one that is slow."""

STALL_SECONDS = 30.0
"""A client that takes nothing for so long is hung up on; until then the board waits, as with flow control."""


class SerialLine:
    """One board's line; ``serve`` listens, ``plug_in`` connects a freshly powered board."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._kept = bytearray()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._client: asyncio.StreamWriter | None = None
        self._board: asyncio.StreamWriter | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Start listening; the server ends with the task that owns it.

        Raises:
            OSError: The address is taken or not ours.
        """
        return await asyncio.start_server(self._serve, host, port)

    async def hang_up(self) -> None:
        """Close the line to the client, if there is one."""
        if self._client is not None:
            self._client.transport.abort()
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=1.0)

    async def plug_in(self, board: socket.socket) -> None:
        """Carry bytes from and to a board's socket until it closes; then the line is silent again."""
        reader, writer = await asyncio.open_connection(sock=board)
        self._board = writer
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    await self._keep(data)
        finally:
            self._board = None
            writer.transport.abort()

    async def _keep(self, data: bytes) -> None:
        while self._client is not None and len(self._kept) >= BACKLOG:
            self._room.clear()
            await self._room.wait()
        self._kept += data
        if self._client is None and len(self._kept) > BACKLOG:
            del self._kept[:-BACKLOG]
        self._news.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._client is not None:
            writer.write(b"hostler: this line is in use\r\n")
            writer.close()
            return
        self._client = writer
        if (task := asyncio.current_task()) is not None:
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
        try:
            talking = asyncio.ensure_future(self._to_client(writer))
            try:
                await self._from_client(reader)
            finally:
                talking.cancel()
                await asyncio.wait([talking])
        finally:
            self._client = None
            self._room.set()
            writer.transport.abort()

    async def _to_client(self, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                while not self._kept:
                    self._news.clear()
                    await self._news.wait()
                data = bytes(self._kept)
                self._kept.clear()
                self._room.set()
                writer.write(data)
                async with asyncio.timeout(STALL_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()

    async def _from_client(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                board = self._board
                if board is not None:  # typing into a board without power goes nowhere
                    board.write(data)
                    with contextlib.suppress(OSError):
                        await board.drain()
