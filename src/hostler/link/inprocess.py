"""The link of a hub and a rack that live in one process; what was desired and what happened survive it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import sqlalchemy

from hostler.link.documents import document_text
from hostler.link.group_commit import GroupCommit, StorageError, sqlite_engine, storing
from hostler.link.memory_stream import MemoryStream
from hostler.link.port import Change, LinkError, RackUnreachableError, RequestRefusedError, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from hostler.model.json import Document

_metadata = sqlalchemy.MetaData()
_documents = sqlalchemy.Table(
    "documents",
    _metadata,
    sqlalchemy.Column("side", sqlalchemy.String, primary_key=True),  # desired or observed
    sqlalchemy.Column("key", sqlalchemy.String, primary_key=True),
    sqlalchemy.Column("document", sqlalchemy.String, nullable=False),
)
_events = sqlalchemy.Table(
    "events",
    _metadata,
    sqlalchemy.Column("seq", sqlalchemy.Integer, primary_key=True, autoincrement=True),
    sqlalchemy.Column("document", sqlalchemy.String, nullable=False),
    sqlite_autoincrement=True,  # a number once given is never given again, even after forget()
)

_MOVE_AWAY = (
    "make room if the disk is full; else put it back from a backup, or move it away: then only what boards "
    "told last is missing from the history"
)
_KEEP = "INSERT OR REPLACE INTO documents (side, key, document) VALUES (?, ?, ?)"
_DROP = "DELETE FROM documents WHERE side = ? AND key = ?"
_REPLAY = 500  # events read from disk at once by a hub that catches up


class _Side:
    """The documents of one side and those who watch them."""

    def __init__(self, documents: dict[str, Document]) -> None:
        self.documents = documents
        self._watchers: set[tuple[dict[str, None], asyncio.Event]] = set()

    def put(self, key: str, document: Document | None) -> None:
        if document is None:
            self.documents.pop(key, None)
        else:
            self.documents[key] = document
        for changed, wake in self._watchers:
            changed[key] = None
            wake.set()

    async def watch(self) -> AsyncIterator[Change]:
        # A board's wires go through equipment, and that is what the document of the rack tells.
        changed: dict[str, None] = dict.fromkeys(sorted(self.documents, key=lambda key: key != "rack"))
        wake = asyncio.Event()
        watcher = _Watcher((changed, wake))
        self._watchers.add(watcher)
        try:
            while True:
                while changed:
                    key = next(iter(changed))
                    del changed[key]
                    yield Change(key, self.documents.get(key))
                wake.clear()
                await wake.wait()
        finally:
            self._watchers.discard(watcher)


class _Watcher(tuple[dict[str, None], asyncio.Event]):
    """Told apart by identity, since two watchers may hold equal values."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class InProcessLink:
    """Both ends of the link: a ``HubLink`` and a ``RackLink`` in one object.

    Raises:
        StorageError: The file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        sides: dict[str, dict[str, Document]] = {"desired": {}, "observed": {}}
        with storing(path, _MOVE_AWAY):
            engine = sqlite_engine(path)
            with engine.begin() as connection:
                _metadata.create_all(connection)
                rows = connection.execute(sqlalchemy.select(_documents)).all()
            for row in rows:
                sides[row.side][row.key] = json.loads(row.document)
        self._engine = engine
        self._writer = GroupCommit(engine)
        self._desired = _Side(sides["desired"])
        self._observed = _Side(sides["observed"])
        self._published = asyncio.Event()
        self._requests: Callable[[str, Document], Awaitable[Document]] | None = None
        self._streams: Callable[[str, Document, Stream], Awaitable[None]] | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def desire(self, key: str, document: Document | None) -> None:
        """See HubLink."""
        await self._keep("desired", key, document)
        self._desired.put(key, document)

    def desired(self) -> AsyncIterator[Change]:
        """See RackLink."""
        return self._desired.watch()

    async def observe(self, key: str, document: Document | None) -> None:
        """See RackLink."""
        self._observed.put(key, document)
        await self._keep("observed", key, document)

    def observed(self) -> AsyncIterator[Change]:
        """See HubLink."""
        return self._observed.watch()

    async def publish(self, event: Document) -> None:
        """See RackLink."""
        text = document_text(event)
        await self._write(lambda c: c.execute(_events.insert().values(document=text)) and None)
        self._published.set()

    async def events(self, after: int) -> AsyncIterator[tuple[int, Document]]:
        """See HubLink."""
        seq = after
        while True:
            self._published.clear()
            rows = await asyncio.to_thread(self._read_events, seq)
            for seq, text in rows:
                yield seq, json.loads(text)
            if not rows:
                await self._published.wait()

    async def forget(self, upto: int) -> None:
        """See HubLink."""
        await self._write(lambda c: c.execute(_events.delete().where(_events.c.seq <= upto)) and None)

    async def request(self, kind: str, body: Document, *, deadline: float) -> Document:
        """See HubLink."""
        if self._requests is None:
            raise RackUnreachableError("the rack is not running yet; try again in a moment")
        try:
            async with asyncio.timeout(deadline):
                return await self._requests(kind, body)
        except TimeoutError:
            raise RackUnreachableError(f'the rack did not answer "{kind}" within {deadline:g} s') from None

    async def open_stream(self, kind: str, body: Document) -> Stream:
        """See HubLink."""
        streams = self._streams
        if streams is None:
            raise RackUnreachableError("the rack is not running yet; try again in a moment")
        mine, theirs = MemoryStream.pair()
        refused: asyncio.Future[RequestRefusedError | None] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            try:
                await streams(kind, body, _Announcing(theirs, refused))
            except RequestRefusedError as error:
                if not refused.done():
                    refused.set_result(error)
            except LinkError:
                pass  # the hub's side went away
            finally:
                if not refused.done():
                    refused.set_result(None)
                await theirs.close()

        task = asyncio.get_running_loop().create_task(serve())
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        try:
            error = await refused
        except asyncio.CancelledError:
            await mine.close()  # whoever asked has gone; the rack would go on for nobody
            raise
        if error is not None:
            raise error
        return mine

    def serve(
        self,
        requests: Callable[[str, Document], Awaitable[Document]],
        streams: Callable[[str, Document, Stream], Awaitable[None]],
    ) -> None:
        """See RackLink."""
        self._requests, self._streams = requests, streams

    async def close(self) -> None:
        """End open streams and write what is waiting."""
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.to_thread(self._writer.close)

    async def _keep(self, side: str, key: str, document: Document | None) -> None:
        text = None if document is None else document_text(document)

        def work(connection: sqlalchemy.Connection) -> None:
            # Written thousands of times a minute: SQLAlchemy takes longer to say it than SQLite to do it.
            if text is None:
                connection.exec_driver_sql(_DROP, (side, key))
            else:
                connection.exec_driver_sql(_KEEP, (side, key, text))

        await self._write(work)

    async def _write(self, work: Callable[[sqlalchemy.Connection], object]) -> None:
        try:
            with storing(self._path):
                await self._writer.write(work)
        except StorageError as error:
            raise LinkError(str(error)) from error

    def _read_events(self, after: int) -> list[tuple[int, str]]:
        query = sqlalchemy.select(_events).where(_events.c.seq > after).order_by(_events.c.seq).limit(_REPLAY)
        try:
            with storing(self._path), self._engine.connect() as connection:
                return [(row.seq, row.document) for row in connection.execute(query)]
        except StorageError as error:
            raise LinkError(str(error)) from error


class _Announcing(Stream):
    """The rack's end of a stream: its first read or write tells that the rack did not refuse."""

    def __init__(self, pipe: MemoryStream, settled: asyncio.Future[RequestRefusedError | None]) -> None:
        self._pipe = pipe
        self._settled = settled

    def _accept(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)

    async def read(self) -> bytes:
        self._accept()
        return await self._pipe.read()

    async def write(self, data: bytes) -> None:
        self._accept()
        await self._pipe.write(data)

    async def close(self) -> None:
        self._accept()
        await self._pipe.close()
