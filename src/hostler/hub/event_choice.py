"""Which events somebody asks for: the same question put to the disk and to what happens now."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import sqlalchemy

from hostler.hub import tables

if TYPE_CHECKING:
    from hostler.hub.records import Event


@dataclass(frozen=True, slots=True)
class EventChoice:
    """What an event must be to be told; what is None does not matter.

    Attributes:
        board: It is about this board.
        principal: This principal caused it.
        audit: Somebody caused it; what racks saw does not count.
        since: It happened at this Unix time or later.
        kind: Its kind fits this pattern, such as ``claim.*``.
    """

    board: str | None = None
    principal: str | None = None
    audit: bool = False
    since: float | None = None
    kind: str | None = None

    def where(self) -> sqlalchemy.ColumnElement[bool]:
        """Return the condition on the table of events."""
        column = tables.events.c
        terms: list[sqlalchemy.ColumnElement[bool]] = [sqlalchemy.true()]
        if self.board is not None:
            terms.append(column.board == self.board)
        if self.principal is not None:
            terms.append(column.principal == self.principal)
        if self.audit:
            terms.append(column.principal.is_not(None))
        if self.since is not None:
            terms.append(column.at >= self.since)
        if self.kind is not None:
            terms.append(column.kind.op("GLOB")(self.kind))
        return sqlalchemy.and_(*terms)

    def fits(self, event: Event) -> bool:
        """Tell whether an event is one of those."""
        return (
            (self.board is None or event.board == self.board)
            and (self.principal is None or event.principal == self.principal)
            and (not self.audit or event.principal is not None)
            and (self.since is None or event.at >= self.since)
            and (self.kind is None or fnmatchcase(event.kind, self.kind))
        )


EVERYTHING = EventChoice()
