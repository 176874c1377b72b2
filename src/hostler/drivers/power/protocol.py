"""What every power driver is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.power import PowerCapabilities, PowerReading, PowerState
    from hostler.model.power_budget import PoolReading


class PowerDriver(Protocol):
    """Switches and reads the supply of one board. Both calls end by themselves within a few seconds."""

    capabilities: PowerCapabilities

    async def set(self, state: PowerState) -> None:
        """Ask the equipment for ON or OFF; returning means it agreed, not that it happened.

        Raises:
            ValueError: For UNKNOWN, which cannot be asked for.
            DriverError: One of its leaves, when the equipment did not agree.
        """
        ...

    async def get(self) -> PowerReading:
        """Read what is.

        Raises:
            DriverError: One of its leaves, when the equipment cannot be read.
        """
        ...


class PowerDriverClass(Protocol):
    """How a power driver is made."""

    def from_config(self, equipment: Mapping[str, object], binding: Mapping[str, object]) -> PowerDriver:
        """Make the driver; opens nothing and reveals no secret.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        ...


@runtime_checkable
class ListsEnds(Protocol):
    """A driver's class whose equipment can say which ends it has: ask with ``isinstance``."""

    async def ends(self, equipment: Mapping[str, object]) -> list[dict[str, object]]:
        """Return the binding's keys of every end; nothing is switched.

        Raises:
            DriverError: One of its leaves.
        """
        ...


@runtime_checkable
class ReadsBudget(Protocol):
    """A driver whose equipment tells how many watts it has and delivers: ask with ``isinstance``.

    Attributes:
        pool: Which of the equipment's supplies feeds this outlet; empty where there is but one.
    """

    pool: str

    async def budget(self) -> PoolReading:
        """Read what that supply may deliver and delivers now.

        Raises:
            DriverError: One of its leaves, when the equipment cannot be read.
        """
        ...
