"""A serial line behind a plain TCP port: ser2net in raw mode, most terminal servers, QEMU.

Equipment: ``host = "10.0.0.3"``, optional ``timeout`` (seconds). Binding: ``port``. Or everything in the
binding: ``address = "10.0.0.3:4001"``.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RawTcpConfig:
    """One TCP port that is one serial line.

    Attributes:
        host: Name or address.
        port: TCP port.
        timeout: Deadline in seconds of connecting, and of the far side taking what is written.
    """

    host: str
    port: int
    timeout: float


class RawTcp:
    """Opens the line; see RawTcpConfig."""

    def __init__(self, config: RawTcpConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> RawTcp:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "host", "timeout")
        settings.only(binding, "port", "address")
        if "address" in binding:
            if "port" in binding:
                raise DriverConfigError("port", "is given twice, in address as well")
            host, port = settings.address(binding, "address")
        else:
            host = settings.text(equipment, "host")
            port = settings.whole_number(binding, "port", least=1, most=65535)
        return cls(RawTcpConfig(host, port, settings.seconds(equipment, "timeout", 5.0)))

    async def open(self) -> RawTcpStream:
        """Connect.

        Raises:
            EquipmentUnreachable: Nothing listens there.
            DriverTimeout: No connection within the deadline.
        """
        config = self.config
        try:
            async with asyncio.timeout(config.timeout):
                reader, writer = await asyncio.open_connection(config.host, config.port)
        except TimeoutError as error:
            raise DriverTimeout(f"{self}: no connection within {config.timeout:g} s") from error
        except OSError as error:
            raise EquipmentUnreachable(f"{self}: {error.strerror or error}") from error
        _detect_dead_peer(writer)
        return RawTcpStream(str(self), reader, writer, config.timeout)

    def __str__(self) -> str:
        return f"console {self.config.host}:{self.config.port}"


class RawTcpStream:
    """An open line."""

    def __init__(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._timeout = timeout

    async def read(self) -> bytes:
        """Return what has come, at most 64 KiB; ``b""`` when the line is closed or broken."""
        try:
            return await self._reader.read(65536)
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
