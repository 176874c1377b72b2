"""What every driver of a switch is that can be asked where a machine is plugged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """Where a switch last heard a MAC.

    Attributes:
        number: The port's number in the bridge (dot1dBasePort), on most switches the one printed on it.
        interface: Its ifIndex, or None where the switch does not tell.
        up: Whether its link is up; None where the switch does not tell.
    """

    number: int
    interface: int | None = None
    up: bool | None = None


@dataclass(frozen=True, slots=True)
class PortState:
    """What a switch says of one of its ports.

    Attributes:
        up: Whether its link is up; None where the switch does not tell.
        spanning_tree: ``disabled`` ``blocking`` ``listening`` ``learning`` ``forwarding`` ``broken``; None
            where the switch does not tell, or runs none.
    """

    up: bool | None = None
    spanning_tree: str | None = None


@dataclass(frozen=True, slots=True)
class PortPicture:
    """Everything a switch tells of one of its ports.

    Attributes:
        number: As in ``SwitchPort``.
        up: Whether its link is up; None where the switch does not tell.
        spanning_tree: As in ``PortState``.
        pvid: VLAN of what comes in without a tag, or None.
        tagged: VLANs it carries with a tag, as far as the switch tells.
        macs: Who was heard on it last, lower case with colons, at most some hundreds on the whole switch.
    """

    number: int
    up: bool | None = None
    spanning_tree: str | None = None
    pvid: int | None = None
    tagged: tuple[int, ...] = ()
    macs: tuple[str, ...] = ()


class NetworkDriver(Protocol):
    """Reads a switch's forwarding table and ports. Every call ends by itself within some seconds."""

    async def find(self, mac: str) -> SwitchPort | None:
        """Return the port a MAC (lower case with colons) was last heard on; None: the switch knows none.

        Raises:
            DriverError: One of its leaves, when the switch cannot be read.
        """
        ...

    async def state(self, number: int) -> PortState:
        """Return what the switch says of the port with this number (dot1dBasePort).

        Raises:
            DriverError: One of its leaves, when the switch cannot be read.
        """
        ...

    async def ports(self) -> list[PortPicture]:
        """Return what the switch says of all its ports.

        Raises:
            DriverError: One of its leaves, when the switch cannot be read.
        """
        ...


class NetworkDriverClass(Protocol):
    """How a network driver is made."""

    def from_equipment(self, equipment: Mapping[str, object]) -> NetworkDriver:
        """Make the driver from the table of the equipment; opens nothing.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        ...
