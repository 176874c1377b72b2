"""What somebody is shown of what comes of claims: events, runs, boots."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from sqlalchemy import select

from hostler.hub import access, tables
from hostler.hub.errors import ForbiddenError
from hostler.model.claim import Claim, ClaimState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostler.hub.database import Database
    from hostler.hub.records import BoardRecord, Event, Principal, RunRecord
    from hostler.hub.state import State

_KEPT = 20_000  # closed claims remembered; each is some hundred bytes, and they change no more
# For everybody when no claim is concerned. Kinds that come later are for admins until they stand here.
_PUBLIC = frozenset(
    {
        "agent",
        "board",
        "check",
        "class",
        "clock",
        "health",
        "image",
        "inventory",
        "lab",
        "power",
        "run",
        "supply",
    }
)


class Sight:
    """Knows the claims that are over as well, so that what came of them is shown to the same people.

    Args:
        state: Returns what is open.
        database: Has what is over.
    """

    def __init__(self, state: Callable[[], State], database: Database) -> None:
        self._state = state
        self._database = database
        self._closed: OrderedDict[str, Claim] = OrderedDict()

    def remember(self, claims: Iterable[Claim | None]) -> None:
        """Keep those claims at hand that have closed: who follows events is about to ask for them."""
        for claim in claims:
            if claim is not None and claim.state is ClaimState.CLOSED:
                self._closed[claim.id] = claim
        while len(self._closed) > _KEPT:
            self._closed.popitem(last=False)

    async def claims(self, ids: Iterable[str]) -> dict[str, Claim]:
        """Return the claims of these ids that there are or were."""
        found: dict[str, Claim] = {}
        missing = []
        for key in set(ids):
            claim = self._state().claims.get(key) or self._closed.get(key)
            if claim is None:
                missing.append(key)
            else:
                found[key] = claim
        if missing:
            query = select(tables.claims.c.doc).where(tables.claims.c.id.in_(missing))
            loaded = await asyncio.to_thread(self._database.load_query, query, Claim)
            self.remember(loaded)
            found |= {claim.id: claim for claim in loaded}
        return found

    async def events(self, by: Principal, events: list[Event]) -> list[Event]:
        """Return those of some events that somebody may see."""
        if by.admin:
            return events
        claims = await self.claims(event.claim for event in events if event.claim is not None)
        return [event for event in events if _shown(by, event, claims)]

    async def runs(self, by: Principal, runs: list[RunRecord]) -> list[RunRecord]:
        """Return those of some runs that somebody may see."""
        if by.admin:
            return runs
        claims = await self.claims(run.claim for run in runs if run.claim is not None)
        return [run for run in runs if run.claim is None or _seen(by, claims.get(run.claim))]

    async def prepare(self, by: Principal, boards: Iterable[BoardRecord]) -> None:
        """Have the claims of some boards' runs at hand, so that ``sees`` knows of those that are over."""
        if not by.admin:
            runs = (self._state().runs.get(record.run or "") for record in boards)
            await self.claims(run.claim for run in runs if run is not None and run.claim is not None)

    def sees(self, by: Principal, claim: str | None) -> bool:
        """Tell whether somebody may see what comes of a claim at hand; None: of no claim."""
        return (
            by.admin or claim is None or _seen(by, self._state().claims.get(claim) or self._closed.get(claim))
        )

    async def refuse_stranger(self, by: Principal, claim: str | None, what: str) -> None:
        """Raise ForbiddenError unless somebody may see what came of a claim, open or closed."""
        if by.admin or claim is None:
            return
        if not _seen(by, (await self.claims([claim])).get(claim)):
            raise ForbiddenError(f"{what} is for those who see the claim it belongs to")


def _seen(by: Principal, claim: Claim | None) -> bool:
    return claim is not None and access.may_see(by, claim)


def _shown(by: Principal, event: Event, claims: dict[str, Claim]) -> bool:
    if event.claim is not None:
        return _seen(by, claims.get(event.claim))
    noun = event.kind.partition(".")[0]
    if noun == "image":
        # For whom it is, and for whom it was: they are told that it is gone from them.
        whose = (event.data.get("project"), event.data.get("before", event.data.get("project")))
        return any(not project or access.role_in(by, str(project)) is not None for project in whose)
    if event.principal == by.name or event.data.get("of") == by.name:
        return True
    if noun == "project":
        return access.role_in(by, str(event.data.get("project"))) is not None
    return event.trace or noun in _PUBLIC
