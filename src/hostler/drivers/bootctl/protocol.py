"""What every boot control is: one that tells the firmware before power, or one that acts after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.boot import BootTarget


@runtime_checkable
class BootOverride(Protocol):
    """Tells a board where to boot from next while it is off. May be asked twice without harm."""

    async def direct(self, target: BootTarget) -> str:
        """Have the next boot come from there, and read that back where it can be read.

        Returns:
            What was done, for people.

        Raises:
            DriverError: One of its leaves; nothing may be assumed of the next boot then.
        """
        ...


@runtime_checkable
class CanLook(Protocol):
    """An override whose equipment can be asked without changing anything: ask with ``isinstance``."""

    async def look(self) -> str:
        """Return where the board is told to boot from now, for people.

        Raises:
            DriverError: One of its leaves.
        """
        ...


class BoardLine(Protocol):
    """A board's serial line while it is taken over; nobody else types on it."""

    async def read(self) -> bytes:
        """Return what the board says next.

        Raises:
            DriverError: The line is closed.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Type.

        Raises:
            DriverError: The line is not connected, or a person took it.
        """
        ...


@runtime_checkable
class BootTakeover(Protocol):
    """Stops a board's boot loader after power-on and has it boot from the network.

    A local boot is left alone.

    Attributes:
        seconds: Longest time from power-on until it is done.
    """

    seconds: float

    async def take_over(self, line: BoardLine) -> str:
        """Take the boot over; begun before the board has power, and cancelled when its time is over.

        Returns:
            What was done, for people.

        Raises:
            DriverError: One of its leaves: the board does not boot from the network.
        """
        ...


@runtime_checkable
class BootTool(Protocol):
    """Serves a board's boot ROM after power-on by other means than its console. A local boot is left alone.

    Attributes:
        seconds: Longest time from power-on until it is done.
    """

    seconds: float

    async def boot(self) -> str:
        """Boot the board; begun before it has power, and cancelled when its time is over.

        Returns:
            What was done, for people.

        Raises:
            DriverError: One of its leaves: the board does not boot from the network.
        """
        ...


BootctlDriver: TypeAlias = BootOverride | BootTakeover | BootTool


class BootctlDriverClass(Protocol):
    """How a boot control is made."""

    def from_config(self, equipment: Mapping[str, object], binding: Mapping[str, object]) -> BootctlDriver:
        """Make the driver; opens nothing and reveals no secret.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        ...
