"""How much of a network images may take by HTTP, as ``[networks.NAME.installs]`` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hostler.model.json import Document


@dataclass(frozen=True, slots=True)
class InstallLimit:
    """How many boards at once, and how much for all of them.

    Attributes:
        boards: How many boards fetch images at once; the others wait for their turn.
        rate: Most bits a second of all of them together; None: as much as there is.
    """

    boards: int
    rate: float | None

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        return {"boards": self.boards, "rate": self.rate}

    @classmethod
    def from_json(cls, document: Document) -> InstallLimit:
        """Read what ``to_json`` wrote."""
        rate = document["rate"]
        return cls(int(cast("int", document["boards"])), float(cast("float", rate)) if rate else None)
