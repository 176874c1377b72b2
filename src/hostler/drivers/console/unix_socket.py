"""A serial line behind a Unix socket: a virtual machine's, or a program's beside the rack.

Equipment: optional ``timeout`` (seconds). Binding: ``path = "/run/board.sock"``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.console.socket_stream import SocketStream
from hostler.drivers.errors import DriverTimeout, EquipmentRefused, EquipmentUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class UnixSocketConfig:
    """One stream socket that is one serial line.

    Attributes:
        path: Where the socket is.
        timeout: Deadline in seconds of connecting, and of the far side taking what is written.
    """

    path: str
    timeout: float


class UnixSocket:
    """Opens the line; see UnixSocketConfig."""

    retry_seconds = 1.0

    def __init__(self, config: UnixSocketConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> UnixSocket:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "timeout")
        settings.only(binding, "path")
        path = settings.text(binding, "path")
        return cls(UnixSocketConfig(path, settings.seconds(equipment, "timeout", 5.0)))

    async def open(self) -> SocketStream:
        """Connect.

        Raises:
            EquipmentUnreachable: There is no such socket, or nobody listens on it.
            EquipmentRefused: It is not ours to open.
            DriverTimeout: No connection within the deadline.
        """
        try:
            async with asyncio.timeout(self.config.timeout):
                reader, writer = await asyncio.open_unix_connection(self.config.path)
        except TimeoutError as error:
            raise DriverTimeout(f"{self}: no connection within {self.config.timeout:g} s") from error
        except PermissionError as error:
            raise EquipmentRefused(
                f"{self}: {error.strerror}; let the server's user read and write it"
            ) from error
        except OSError as error:
            raise EquipmentUnreachable(f"{self}: {error.strerror or error}") from error
        return SocketStream(str(self), reader, writer, self.config.timeout)

    def __str__(self) -> str:
        return f"console {self.config.path}"
