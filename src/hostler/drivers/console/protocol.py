"""What every console driver is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConsoleStream(Protocol):
    """An open line to one board. Reconnecting is the business of who opened it."""

    async def read(self) -> bytes:
        """Return the next bytes from the board as soon as there are some; ``b""`` when the line is closed."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes to the board.

        Raises:
            EquipmentUnreachable: When the line is closed.
            DriverTimeout: When nothing takes the bytes within the deadline.
        """
        ...

    async def close(self) -> None:
        """Close the line; harmless when it is closed already."""
        ...


class ConsoleDriver(Protocol):
    """Opens the line to one board's serial console."""

    async def open(self) -> ConsoleStream:
        """Open the line within the driver's deadline.

        Raises:
            DriverError: One of its leaves.
        """
        ...


class ConsoleDriverClass(Protocol):
    """How a console driver is made."""

    def from_config(self, equipment: Mapping[str, object], binding: Mapping[str, object]) -> ConsoleDriver:
        """Make the driver; opens nothing.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        ...
