"""What happened in the lab: history page by page, and live."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from hostler.api.access_documents import Moment
from hostler.api.documents import EventDocument, event_document
from hostler.api.gate import Caller, TheHub
from hostler.api.sse import ALSO_A_STREAM, EventStream, message
from hostler.hub.event_choice import EventChoice
from hostler.hub.records import Event, Principal

router = APIRouter()

_TEXTS = 4096  # those who follow are never further behind than the events the hub has in memory
MOST = 2**63 - 1  # what a database takes for a number
Since = Annotated[Moment | None, Query(description="a time, or how long ago: `1d`")]


@router.get("/events", response_model=list[EventDocument], responses=ALSO_A_STREAM)
async def list_events(
    hub: TheHub, caller: Caller, request: Request, *,
    after: int | None = Query(None, ge=0, le=MOST), follow: bool = False,
    board: str | None = None, principal: str | None = None, kind: str | None = Query(None, max_length=100),
    audit: bool = False, since: Since = None,
    last: int | None = Query(None, ge=1, le=500), before: int | None = Query(None, ge=0, le=MOST),
    last_event_id: Annotated[int | None, Header(ge=0, le=MOST)] = None,
) -> Response | list[EventDocument]:  # fmt: skip
    """Return history after a number as JSON, at most 500 events; with ``follow`` as SSE, for ever.

    ``last`` asks for so many of the newest instead, or of the newest ``before`` a number: those of them that
    are for the caller to see.
    What came of a claim is shown to those who see the claim; ``audit`` leaves what somebody caused.
    """
    start = last_event_id if last_event_id is not None else after
    began = None if since is None else _ago(since, hub.now())
    choice = EventChoice(board, principal, audit, began, kind)
    if last is not None:
        await hub.journal.settled()
        newest = await hub.history.newest(choice, last, before)
        return [_told(caller, event) for event in await hub.sight.events(caller, newest)]
    if not follow:
        at = start or 0
        await hub.journal.settled()  # no answer given before may show more than this one
        while page := await hub.history.page(at, choice):
            # A page may hold nothing for this caller; only the end of history is empty.
            if shown := await hub.sight.events(caller, page):
                return [_told(caller, event) for event in shown]
            at = page[-1].seq
        return []

    if start is None and began is None:
        # Not from when the body is first read: whoever has this answer's headers misses nothing.
        start = hub.history.last

    texts: EventTexts = request.app.state.event_texts

    async def stream() -> AsyncIterator[str]:
        async for page in hub.history.follow_pages(start, choice):
            if not page:
                yield message()
            elif shown := await hub.sight.events(caller, page):
                yield "".join(texts.of(caller, event) for event in shown)

    return EventStream(stream())


class EventTexts:
    """The messages of the last events, made once for all who follow them."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[int, bool], str] = OrderedDict()

    def of(self, caller: Principal, event: Event) -> str:
        """Return the message of an event for somebody who may see it."""
        key = event.seq, _sees_source(caller, event)
        text = self._texts.get(key)
        if text is None:
            text = message(_told(caller, event).model_dump_json(), event.kind, event.seq)
            self._texts[key] = text
            if len(self._texts) > _TEXTS:
                self._texts.popitem(last=False)
        return text


def _ago(since: float | datetime, now: float) -> float:
    """Return a start as Unix time: a length of time lies behind us."""
    return since.timestamp() if isinstance(since, datetime) else now - since


def _sees_source(caller: Principal, event: Event) -> bool:
    return caller.admin or event.principal == caller.name


def _told(caller: Principal, event: Event) -> EventDocument:
    """Return an event; where a change came from is for admins and for whoever made it."""
    document = event_document(event)
    if not _sees_source(caller, event):
        document.data = {key: value for key, value in document.data.items() if key != "source"}
    return document
