"""What every console driver is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.wire.rfc2217 import LineSettings


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


@runtime_checkable
class CanBreak(Protocol):
    """A stream that can send BREAK: ask with ``isinstance``; not every wire carries it."""

    async def send_break(self, seconds: float = 0.25) -> None:
        """Hold the line at zero for that long (some wires choose how long themselves).

        Raises:
            DriverError: One of its leaves, as of ``write``; EquipmentRefused when it cannot be sent now.
        """
        ...


@runtime_checkable
class CanSetLines(Protocol):
    """A stream that can switch the modem lines, which reset many boards: ask with ``isinstance``."""

    async def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Switch DTR and RTS on or off; None leaves a line as it is.

        Raises:
            DriverError: One of its leaves, as of ``write``.
        """
        ...


@runtime_checkable
class CanSetLine(Protocol):
    """A stream whose speed and framing can be changed: ask with ``isinstance``; most wires have none."""

    async def set_line(self, settings: LineSettings) -> LineSettings:
        """Set what is not None, as far as the line can, and return how it is now.

        Raises:
            DriverError: One of its leaves, as of ``write``.
        """
        ...


@runtime_checkable
class HotPlugged(Protocol):
    """A driver whose line comes and goes, and that can be looked for often: ask with ``isinstance``.

    Attributes:
        retry_seconds: The longest pause between two attempts to open it.
    """

    retry_seconds: float


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
