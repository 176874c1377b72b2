"""What happened during a boot, in the order it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from hostler.model.json import JSON, Document


def printable(text: str, limit: int = 1000) -> str:
    """Return words of somebody we do not trust as one line that no terminal and no reader stumbles over."""
    line = text[:limit].replace("\t", " ")
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One thing seen on the way of a board from power-on to its login prompt.

    Attributes:
        at: Unix time in seconds.
        source: Who saw it: ``power`` ``link`` ``dhcp`` ``tftp`` ``http`` ``console`` ``agent`` ``run``
            ``bootctl``.
        kind: What it was, in the words of the source, for example ``dhcp`` ``offer`` or ``tftp`` ``done``.
        text: One line for people.
        board: The board's name; None for a machine nobody knows.
        mac: Lower case with colons, where one was seen.
        boot: The id of the boot it belongs to (never its token).
        data: Numbers and addresses worth keeping: bytes, seconds, files.
    """

    at: float
    source: str
    kind: str
    text: str
    board: str | None = None
    mac: str | None = None
    boot: str | None = None
    data: dict[str, JSON] = field(default_factory=dict)

    def to_json(self) -> Document:
        """Return the event as a JSON object; absent fields are left out."""
        document: Document = {"at": self.at, "source": self.source, "kind": self.kind, "text": self.text}
        for name in ("board", "mac", "boot"):
            value = getattr(self, name)
            if value is not None:
                document[name] = value
        if self.data:
            document["data"] = self.data
        return document

    @classmethod
    def from_json(cls, document: Document) -> TraceEvent:
        """Read what ``to_json`` wrote; raises KeyError or TypeError for anything else."""
        return cls(
            at=float(cast("float", document["at"])),
            source=str(document["source"]),
            kind=str(document["kind"]),
            text=str(document["text"]),
            board=cast("str | None", document.get("board")),
            mac=cast("str | None", document.get("mac")),
            boot=cast("str | None", document.get("boot")),
            data=cast("dict[str, JSON]", document.get("data", {})),
        )
