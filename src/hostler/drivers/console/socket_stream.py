"""A serial line that is a stream socket: what raw TCP and Unix sockets share."""

from __future__ import annotations

import asyncio
import socket

from hostler.drivers.errors import DriverTimeout, EquipmentUnreachable

_READ_BYTES = 256 << 10
_READ_AHEAD = 1
"""The kernel holds what nobody has read yet: a line is read when somebody asks, and not at every byte."""


async def connect_tcp(name: str, host: str, port: int, timeout: float) -> SocketStream:  # noqa: ASYNC109
    """Connect to a TCP port that is a serial line.

    Raises:
        EquipmentUnreachable: Nothing listens there.
        DriverTimeout: No connection within the deadline.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port, limit=_READ_AHEAD)
    except TimeoutError as error:
        raise DriverTimeout(f"{name}: no connection within {timeout:g} s") from error
    except OSError as error:
        raise EquipmentUnreachable(f"{name}: {error.strerror or error}") from error
    _detect_dead_peer(writer)
    return SocketStream(name, reader, writer, timeout)


class SocketStream:
    """An open line.

    Args:
        name: Names the line in messages.
        reader: What comes from the board.
        writer: What goes to it.
        timeout: Deadline in seconds of the far side taking what is written.
    """

    def __init__(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._timeout = timeout

    async def read(self) -> bytes:
        """Return what has come, at most 256 KiB; ``b""`` when the line is closed or broken."""
        try:
            return await self._reader.read(_READ_BYTES)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            EquipmentUnreachable: The line is closed.
            DriverTimeout: The far side takes nothing within the deadline.
        """
        if self._writer.is_closing():
            raise EquipmentUnreachable(f"{self._name}: the line is closed")
        try:
            self._writer.write(data)
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise DriverTimeout(f"{self._name}: takes no bytes for {self._timeout:g} s") from error
        except OSError as error:
            raise EquipmentUnreachable(f"{self._name}: {error.strerror or error}") from error

    async def close(self) -> None:
        """Close the line; what was not sent yet is dropped."""
        self._writer.transport.abort()
        await asyncio.sleep(0)


def _detect_dead_peer(writer: asyncio.StreamWriter) -> None:
    # A console may be silent for days; keep-alive tells a quiet board from a terminal server that is gone.
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
