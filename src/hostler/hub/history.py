"""What has happened: read page by page from the disk, followed live from memory."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import select

from hostler.hub import tables
from hostler.hub.event_choice import EVERYTHING, EventChoice
from hostler.hub.records import Event
from hostler.model.seam import BootRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from hostler.hub.database import Database

_RING = 4096  # events kept in memory for those who follow
_PAGE = 500
PAGE_SECONDS = 0.05
"""Least time between two pages of a live stream; a person sees no difference."""
# A boot's first events (the lease, the switch) may be seen a moment before the keeper has named the boot.
_BEFORE_BOOT = 2.0
_TRACED = '%"trace": true}'


class Bells:
    """Wakes those who watch a thing when it changes; of many changes they may notice only the last."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def version(self, key: str) -> int:
        """Return a number that grows with each change."""
        return self._versions.get(key, 0)

    def ring(self, key: str) -> None:
        """Tell that a thing has changed."""
        self._versions[key] = self.version(key) + 1
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, key: str, version: int, seconds: float) -> bool:
        """Wait until the version is another one; False when it was still the same after ``seconds``."""
        if self.version(key) != version:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.get(key, set()).discard(future)
        return True


@dataclass(frozen=True, slots=True)
class Trace:
    """A board's boots, newest first, and the events of one of them."""

    boots: list[BootRecord]
    boot: BootRecord | None
    events: list[Event]


class History:
    """The events of the lab, in order.

    Attributes:
        last: Number of the last event that is durable.
        listeners: Called with each event as it becomes durable; must be quick, and must not raise.
    """

    def __init__(self, database: Database, bells: Bells) -> None:
        self._database = database
        self._bells = bells
        self._ring: deque[Event] = deque(maxlen=_RING)
        self.last = 0
        self.listeners: list[Callable[[Event], None]] = []

    def start(self, last: int) -> None:
        """Begin after the last event on the disk."""
        self._ring.clear()
        self.last = last

    def add(self, events: Iterable[Event]) -> None:
        """Hand on events that are durable now."""
        for event in events:
            self._ring.append(event)
            self.last = event.seq
            for listener in self.listeners:
                listener(event)
        self._bells.ring("events")

    async def page(self, after: int, choice: EventChoice = EVERYTHING, limit: int = _PAGE) -> list[Event]:
        """Return the next chosen events after a number."""
        query = select(tables.events).where(tables.events.c.seq > after, choice.where())
        return await self._events(query.order_by(tables.events.c.seq).limit(limit))

    async def newest(self, choice: EventChoice, limit: int, before: int | None = None) -> list[Event]:
        """Return the last chosen events, or the last before a number, oldest first."""
        terms = [choice.where()]
        if before is not None:
            terms.append(tables.events.c.seq < before)
        query = select(tables.events).where(*terms)
        return (await self._events(query.order_by(tables.events.c.seq.desc()).limit(limit)))[::-1]

    async def about(self, board: str, kind: str, since: float) -> list[Event]:
        """Return the events of one kind about a board since a Unix time, oldest first; the last 5,000."""
        event = tables.events.c
        query = select(tables.events).where(event.board == board, event.at >= since, event.kind == kind)
        return (await self._events(query.order_by(event.seq.desc()).limit(10 * _PAGE)))[::-1]

    async def follow(
        self, after: int | None, choice: EventChoice = EVERYTHING, idle: float = 15.0
    ) -> AsyncIterator[Event | None]:
        """Yield every chosen event after a number as it happens; None: from the chosen time, or from now on.

        After each ``idle`` seconds without one it yields None.
        """
        async for page in self.follow_pages(after, choice, idle):
            for event in page:
                yield event
            if not page:
                yield None

    async def follow_pages(
        self, after: int | None, choice: EventChoice = EVERYTHING, idle: float = 15.0
    ) -> AsyncIterator[list[Event]]:
        """Yield what ``follow`` does, all events that have come at once; an empty page: none has for long.

        When much happens pages come every ``PAGE_SECONDS``: many who watch must not hold up those who work.
        """
        last = await self._before(choice.since) if after is None else after
        while True:
            version = self._bells.version("events")
            if self._ring and self._ring[0].seq <= last + 1:
                page = self._newer(last)
                caught_up = True
            else:
                page = await self.page(last)
                caught_up = len(page) < _PAGE and (not page or page[-1].seq >= self.last)
            if page:
                last = page[-1].seq
                if chosen := [event for event in page if choice.fits(event)]:
                    yield chosen
                    await asyncio.sleep(PAGE_SECONDS)
            if (caught_up or not page) and not await self._bells.wait("events", version, idle):
                yield []

    def _newer(self, last: int) -> list[Event]:
        """Return the events in memory after a number; looks at no others."""
        newer = itertools.takewhile(lambda event: event.seq > last, reversed(self._ring))
        return list(newer)[::-1]

    async def _before(self, since: float | None) -> int:
        """Return the number of the last event before a Unix time; None: of the last one there is."""
        if since is None:
            return self.last
        first = select(sqlalchemy.func.min(tables.events.c.seq)).where(tables.events.c.at >= since)
        found = await asyncio.to_thread(
            self._database.read, lambda connection: connection.execute(first).scalar()
        )
        return self.last if found is None else int(found) - 1

    async def trace(self, board: str, number: int | None) -> Trace:
        """Return a board's boots and the events of one; None: the last."""
        return await asyncio.to_thread(self._trace, board, number)

    async def past(self, boards: Sequence[str], purpose: str, before: float, most: int) -> list[Trace]:
        """Return the last boots of some boards for one purpose, begun before a Unix time, newest first."""
        return await asyncio.to_thread(self._past, boards, purpose, before, most)

    def _past(self, boards: Sequence[str], purpose: str, before: float, most: int) -> list[Trace]:
        column, event = tables.boots.c, tables.events.c
        chosen = (
            select(tables.boots)
            .where(column.board.in_(boards), column.purpose == purpose, column.started < before)
            .order_by(column.started.desc())
            .limit(most)
        )
        rows = self._database.read(lambda connection: connection.execute(chosen).all())
        wanted = select(tables.events).where(
            event.boot.in_([row.id for row in rows]), event.doc.like(_TRACED)
        )
        found: dict[str, list[Event]] = {row.id: [] for row in rows}
        for one in self._database.read(lambda connection: connection.execute(wanted).all()):
            found[one.boot].append(_event(one))
        return [
            Trace(
                [],
                BootRecord(row.id, row.number, row.started, row.purpose),
                sorted(found[row.id], key=_order),
            )
            for row in rows
        ]

    async def boot_claim(self, boot: str) -> str | None:
        """Return the id of the claim a boot belonged to, or None."""
        query = select(tables.boots.c.claim).where(tables.boots.c.id == boot)
        return await asyncio.to_thread(
            self._database.read, lambda connection: connection.execute(query).scalar()
        )

    def _trace(self, board: str, number: int | None) -> Trace:
        columns = tables.boots.c
        query = (
            select(tables.boots).where(columns.board == board).order_by(columns.number.desc()).limit(_PAGE)
        )
        rows = self._database.read(lambda connection: connection.execute(query).all())
        boots = [BootRecord(row.id, row.number, row.started, row.purpose) for row in rows]
        index = (
            0 if number is None else next((i for i, boot in enumerate(boots) if boot.number == number), None)
        )
        if index is None or not boots:
            return Trace(boots, None, [])
        boot = boots[index]
        until = boots[index - 1].started - _BEFORE_BOOT if index else float("inf")
        event = tables.events.c
        nameless = sqlalchemy.and_(
            event.board == board,
            event.boot.is_(None),
            event.at >= boot.started - _BEFORE_BOOT,
            event.at < until,
        )
        traced = event.doc.like(_TRACED)
        wanted = select(tables.events).where(sqlalchemy.or_(event.boot == boot.id, nameless), traced)
        found = self._database.read(lambda connection: connection.execute(wanted).all())
        return Trace(boots, boot, sorted(map(_event, found), key=_order))

    async def _events(self, query: sqlalchemy.Select[Any]) -> list[Event]:
        rows = await asyncio.to_thread(
            self._database.read, lambda connection: connection.execute(query).all()
        )
        return [_event(row) for row in rows]


def _order(event: Event) -> tuple[float, int]:
    return event.at, event.seq


def _event(row: Any) -> Event:
    doc = json.loads(row.doc)
    return Event(
        row.seq, row.at, row.kind, doc["text"], row.board, row.boot, row.run, row.claim, row.principal,
        doc["data"], doc["trace"],
    )  # fmt: skip
