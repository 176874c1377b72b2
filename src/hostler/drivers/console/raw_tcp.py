"""A serial line behind a plain TCP port: ser2net in raw mode, most terminal servers, QEMU.

Equipment: ``host = "10.0.0.3"``, optional ``timeout`` (seconds). Binding: ``port``. Or everything in the
binding: ``address = "10.0.0.3:4001"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.console.socket_stream import SocketStream, connect_tcp
from hostler.drivers.errors import DriverConfigError

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
            host = settings.host(equipment, "host")
            port = settings.whole_number(binding, "port", least=1, most=65535)
        return cls(RawTcpConfig(host, port, settings.seconds(equipment, "timeout", 5.0)))

    async def open(self) -> SocketStream:
        """Connect.

        Raises:
            EquipmentUnreachable: Nothing listens there.
            DriverTimeout: No connection within the deadline.
        """
        return await connect_tcp(str(self), self.config.host, self.config.port, self.config.timeout)

    def __str__(self) -> str:
        return f"console {self.config.host}:{self.config.port}"
