"""Where the carousels of a network send, as ``[networks.NAME.multicast]`` says."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hostler.model.json import Document


@dataclass(frozen=True, slots=True)
class MulticastGroup:
    """Where, how fast and for how many.

    Attributes:
        address: The group.
        port: UDP port.
        rate: Most bits a second.
        ttl: Through how many routers it goes, plus one.
        boards: How many boards must want the same image at once.
    """

    address: IPv4Address
    port: int
    rate: float
    ttl: int
    boards: int

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        return {
            "address": str(self.address),
            "port": self.port,
            "rate": self.rate,
            "ttl": self.ttl,
            "boards": self.boards,
        }

    @classmethod
    def from_json(cls, document: Document) -> MulticastGroup:
        """Read what ``to_json`` wrote."""
        return cls(
            IPv4Address(str(document["address"])),
            int(cast("int", document["port"])),
            float(cast("float", document["rate"])),
            int(cast("int", document["ttl"])),
            int(cast("int", document["boards"])),
        )
