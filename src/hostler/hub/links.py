"""The hub's end of the seam: what it desires goes down, what racks see comes up, until the two agree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from hostler.hub import boards
from hostler.hub.errors import UnavailableError
from hostler.link.documents import DocumentError, from_document
from hostler.link.port import Change, HubLink, LinkError
from hostler.model.seam import Observed, Stranger
from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from hostler.hub.history import Bells
    from hostler.hub.state import Draft, State
    from hostler.model.json import Document

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
_EVENTS = 500  # taken over in one transaction
_OBSERVATIONS = 1000  # more wait at the link, where of several of a board only the last counts

Decide = Callable[[Callable[["Draft"], None]], Awaitable[None]]


class Outbox:
    """What is desired, by key, until the link has taken it; of several wishes for a key only the last."""

    def __init__(self, link: HubLink) -> None:
        self._link = link
        self._waiting: dict[str, Document | None] = {}
        self._wake = asyncio.Event()

    def put(self, key: str, document: Document | None) -> None:
        """Desire this from now on."""
        self._waiting[key] = document
        self._wake.set()

    async def run(self) -> None:
        """Hand over until cancelled; what the link does not take is tried again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                documents, self._waiting = self._waiting, {}
                # Side by side, so that they share the link's trip to the disk.
                taken = await asyncio.gather(
                    *(self._hand_over(key, document) for key, document in documents.items())
                )
                if not all(taken):
                    await asyncio.sleep(RETRY_SECONDS)

    async def _hand_over(self, key: str, document: Document | None) -> bool:
        try:
            await self._link.desire(key, document)
        except LinkError as error:
            log.warning("the link does not take %s: %s; trying again", key, error)
            self._waiting.setdefault(key, document)
            return False
        return True


class Watcher:
    """Takes over what racks see and what they tell."""

    def __init__(
        self, link: HubLink, state: Callable[[], State], change: Decide, bells: Bells, outbox: Outbox
    ) -> None:
        self._link = link
        self._state = state
        self._change = change
        self._bells = bells
        self._outbox = outbox

    async def observe(self) -> None:
        """Follow what racks see until cancelled."""
        while True:
            arrived: asyncio.Queue[Change] = asyncio.Queue(_OBSERVATIONS)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._look(arrived))
                    tasks.create_task(self._take(arrived))
            except* LinkError as errors:
                log.warning("the link does not tell what racks see: %s; trying again", errors.exceptions[0])
            # A group whose task is cancelled while another fails tells of the failure alone.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            await asyncio.sleep(RETRY_SECONDS)

    async def _look(self, arrived: asyncio.Queue[Change]) -> None:
        async for change in self._link.observed():
            await arrived.put(change)
        raise LinkError("the stream of what racks see has ended")

    async def _take(self, arrived: asyncio.Queue[Change]) -> None:
        while True:
            changes = [await arrived.get()]
            # What came while the last ones went to the disk goes there together.
            while not arrived.empty():
                changes.append(arrived.get_nowait())
            observed = {}
            for change in changes:
                kind, _, name = change.key.partition("/")
                try:
                    if kind == "board":
                        seen = self._seen(name, change.document)
                        if seen is not None:
                            observed[name] = seen
                    elif kind == "stranger":
                        await self._stranger(name, change.document)
                except DocumentError as error:
                    log.warning(
                        "a rack's report on %s makes no sense and is left aside: %s", change.key, error
                    )
            if observed:
                await self._observed(observed.values())
            for name in observed:
                self._bells.ring(f"board/{name}")
            self._bells.ring("boards")

    async def _observed(self, seen: Collection[Observed]) -> None:
        """Take over what is seen of boards: all at once, or one by one if something is wrong with one."""
        try:
            await self._surely(partial(_observe, seen))
        except Exception:  # noqa: BLE001 - told below, for the board at fault alone
            await asyncio.gather(
                *(self._or_leave(f"board {one.board}", partial(_observe, [one])) for one in seen)
            )

    async def _or_leave(self, what: str, decide: Callable[[Draft], None]) -> None:
        """Take something over, or log why that cannot be: what one machine says must not end the hub."""
        try:
            await self._surely(decide)
        except Exception:
            log.exception("what is seen of %s cannot be taken over and is left aside", what)

    def _seen(self, name: str, document: Document | None) -> Observed | None:
        """Take over what is seen of a board; returns it if there is something to decide."""
        state = self._state()
        if document is None:
            state.observed.pop(name, None)
            self._bells.ring(f"board/{name}")
            return None
        observed = from_document(Observed, document)
        if name not in state.boards:
            # It was taken out of the inventory while the link was away.
            self._outbox.put(f"board/{name}", None)
            return None
        state.observed[name] = observed
        return observed

    async def _stranger(self, mac: str, document: Document | None) -> None:
        if document is None:
            await self._or_leave(f"machine {mac}", lambda draft: boards.part(draft, mac))
        else:
            stranger = from_document(Stranger, document)
            await self._or_leave(f"machine {mac}", lambda draft: boards.meet(draft, stranger))

    async def _surely(self, decide: Callable[[Draft], None]) -> None:
        """Take over an observation however long the disk is full: the link tells it only once."""
        while True:
            try:
                await self._change(decide)
            except UnavailableError as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def follow(self) -> None:
        """Append what racks tell to the hub's own history until cancelled."""
        while True:
            arrived: asyncio.Queue[tuple[int, Document]] = asyncio.Queue(_EVENTS)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._receive(arrived))
                    tasks.create_task(self._keep(arrived))
            except* LinkError as errors:
                log.warning("the link does not hand over events: %s; trying again", errors.exceptions[0])
            # A group whose task is cancelled while another fails tells of the failure alone.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            await asyncio.sleep(RETRY_SECONDS)

    async def _receive(self, arrived: asyncio.Queue[tuple[int, Document]]) -> None:
        async for numbered in self._link.events(self._state().cursor):
            await arrived.put(numbered)
        raise LinkError("the stream of events has ended")

    async def _keep(self, arrived: asyncio.Queue[tuple[int, Document]]) -> None:
        while True:
            batch = [await arrived.get()]
            while len(batch) < _EVENTS and not arrived.empty():
                batch.append(arrived.get_nowait())
            await self._surely(lambda draft, batch=batch: _append(draft, batch))  # type: ignore[misc]
            await self._link.forget(batch[-1][0])


def _observe(seen: Collection[Observed], draft: Draft) -> None:
    for observed in seen:
        boards.observe(draft, observed)


def _append(draft: Draft, batch: list[tuple[int, Document]]) -> None:
    for number, document in batch:
        if number <= draft.cursor:
            continue
        draft.cursor = number
        try:
            _append_event(draft, document)
        except Exception:
            log.exception("event %d of the link makes no sense and is left aside", number)


def _append_event(draft: Draft, document: Document) -> None:
    trace = TraceEvent.from_json(document)
    record = draft.boards.get(trace.board) if trace.board else None
    draft.event(
        f"{trace.source}.{trace.kind}", trace.text, at=trace.at, board=trace.board, boot=trace.boot,
        claim=record.claim if record else None, data=trace.to_json(), trace=True,
    )  # fmt: skip
