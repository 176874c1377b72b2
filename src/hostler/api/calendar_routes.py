"""The calendar: from when to when boards are held, booked or expected."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from hostler.api.documents import iso, iso_or_none
from hostler.api.gate import Caller, TheHub
from hostler.hub import access
from hostler.model.calendar import spans
from hostler.model.claim import ClaimState

if TYPE_CHECKING:
    from hostler.hub.hub import Hub

router = APIRouter()


class SpanDocument(BaseModel):
    """One board, from when to when, and for whom.

    ``certainty``: ``held`` now; ``returning``: given back and being wiped; ``booked``: kept for that time;
    ``expected``: as the queue stands. ``board`` is null for any of its class, ``class`` is for any board with
    some labels, ``end`` when nobody knows.
    """

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    claim: str
    principal: str
    project: str
    certainty: Literal["held", "returning", "booked", "expected"]
    board_class: str | None = Field(alias="class")
    board: str | None
    start: str
    end: str | None


@router.get("/calendar")
async def get_calendar(hub: TheHub, caller: Caller) -> list[SpanDocument]:
    """List what holds boards and what is to come, by time; who waits is for those who see the claim."""
    now = hub.now()
    found = []
    for claim in hub.state.claims.values():
        if access.may_see_times(caller, claim, now):
            waits = claim.state is ClaimState.PENDING
            place = hub.claim_desk.place(claim) if waits else None
            found += [(claim, span) for span in spans(claim, place, partial(_class_of, hub), now)]
    found.sort(key=lambda one: (one[1].start, one[1].claim, one[1].board or ""))
    return [
        SpanDocument(
            claim=claim.id, principal=claim.principal, project=claim.project, certainty=span.certainty.value,
            board_class=span.board_class, board=span.board, start=iso(span.start), end=iso_or_none(span.end),
        )
        for claim, span in found
    ]  # fmt: skip


def _class_of(hub: Hub, board: str) -> str | None:
    record = hub.state.boards.get(board)
    return record.board.board_class if record is not None else None
