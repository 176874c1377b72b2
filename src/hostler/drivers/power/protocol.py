"""What every power driver is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hostler.model.power import PowerReading
from hostler.model.power_budget import PoolReading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.power import PowerCapabilities, PowerState


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


@dataclass(frozen=True, slots=True)
class PanelReading:
    """What an equipment says of all its ends at once.

    Attributes:
        ends: The keys of each end's wire, and what was read there.
        pools: What its supplies may deliver and deliver, by the name that ``ReadsBudget`` uses.
    """

    ends: tuple[tuple[dict[str, object], PowerReading], ...]
    pools: dict[str, PoolReading] = field(default_factory=dict)


@runtime_checkable
class ReadsPanel(Protocol):
    """A driver's class whose equipment tells of all ends in a few questions: ask with ``isinstance``."""

    async def panel(self, equipment: Mapping[str, object]) -> PanelReading:
        """Read every end; nothing is switched.

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
