"""Decisions on their way to the disk: in order, many at once, and all or none."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert

from hostler.hub import tables
from hostler.link.documents import to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy

    from hostler.hub.state import Draft
    from hostler.link.group_commit import GroupCommit

Row = dict[str, Any]


class Batch:
    """The rows of one or more drafts; of several versions of a row only the last is written."""

    def __init__(self) -> None:
        self.puts: dict[sqlalchemy.Table, dict[str, Row]] = {}
        self.removals: dict[sqlalchemy.Table, dict[str, None]] = {}
        self.events: list[Row] = []

    def put(self, table: sqlalchemy.Table, key: str, row: Row) -> None:
        """Write this row under its primary key."""
        self.puts.setdefault(table, {})[key] = row
        self.removals.get(table, {}).pop(key, None)

    def remove(self, table: sqlalchemy.Table, key: str) -> None:
        """Delete the row with this primary key."""
        self.removals.setdefault(table, {})[key] = None
        self.puts.get(table, {}).pop(key, None)

    def join(self, later: Batch) -> None:
        """Add the rows of a later batch."""
        for table, keys in later.removals.items():
            for key in keys:
                self.remove(table, key)
        for table, puts in later.puts.items():
            for key, row in puts.items():
                self.put(table, key, row)
        self.events += later.events

    def write(self, connection: sqlalchemy.Connection) -> None:
        """Write everything."""
        for table, keys in self.removals.items():
            column = next(iter(table.primary_key))
            if keys:
                connection.execute(table.delete().where(column.in_(list(keys))))
        for table, rows in self.puts.items():
            if rows:
                connection.exec_driver_sql(_STATEMENTS[table], list(rows.values()))
        if self.events:
            connection.exec_driver_sql(_STATEMENTS[tables.events], self.events)


def _upsert(table: sqlalchemy.Table) -> str:
    """Return the statement for SQLite's own ``executemany``: SQLAlchemy would take longer than the write."""
    statement = insert(table)
    if table is not tables.events:
        others = {
            column.name: statement.excluded[column.name] for column in table.c if not column.primary_key
        }
        statement = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


_STATEMENTS = {table: _upsert(table) for table in tables.metadata.tables.values()}


def rows(draft: Draft, batch: Batch) -> None:
    """Add the rows of a draft to a batch."""
    for name, board in draft.boards.changed.items():
        if board is None:
            batch.remove(tables.boards, name)
        else:
            batch.put(
                tables.boards, name, {"name": name, "lifecycle": board.lifecycle, "doc": to_text(board)}
            )
    for key, claim in draft.claims.changed.items():
        if claim is not None:
            row: Row = {
                "id": key,
                "state": claim.state,
                "principal": claim.principal,
                "project": claim.project,
            }
            batch.put(tables.claims, key, {**row, "created": claim.created, "doc": to_text(claim)})
    for key, run in draft.runs.changed.items():
        if run is not None:
            row = {"id": key, "board": run.board, "state": run.status.state, "created": run.created}
            batch.put(tables.runs, key, {**row, "doc": to_text(run)})
    for name, image in draft.images.changed.items():
        if image is None:
            batch.remove(tables.images, name)
        else:
            batch.put(tables.images, name, {"name": name, "doc": to_text(image)})
    for arch, agent in draft.agents.changed.items():
        if agent is not None:
            files = [("kernel", agent.kernel), ("initrd", agent.initrd)]
            files += [("boot-file", artefact) for artefact in agent.boot_files.values()]
            for kind, artefact in files:
                row = {"id": artefact, "kind": kind, "arch": arch, "created": draft.now}
                batch.put(tables.artefacts, artefact, row)
            _meta(batch, f"agent/{arch}", to_text(agent))
    _access_rows(draft, batch)
    for board_name, boot, claim_id in draft.boots:
        row = {"id": boot.id, "board": board_name, "number": boot.number, "started": boot.started}
        batch.put(tables.boots, boot.id, {**row, "purpose": boot.purpose, "claim": claim_id})
    if draft.inventory_changed:
        _meta(batch, "inventory", to_text(draft.inventory))
    if draft.cursor_changed:
        _meta(batch, "cursor", str(draft.cursor))
    batch.events += [
        {
            "seq": event.seq, "at": event.at, "kind": event.kind, "board": event.board, "boot": event.boot,
            "run": event.run, "claim": event.claim, "principal": event.principal,
            "doc": json.dumps({"text": event.text, "data": event.data, "trace": event.trace}),
        }
        for event in draft.events
    ]  # fmt: skip


def _access_rows(draft: Draft, batch: Batch) -> None:
    kinds: tuple[tuple[sqlalchemy.Table, dict[str, Any]], ...] = (
        (tables.principals, draft.principals.changed),
        (tables.projects, draft.projects.changed),
        (tables.tokens, draft.tokens.changed),
        (tables.keys, draft.keys.changed),
        (tables.hooks, draft.hooks.changed),
    )
    for table, changed in kinds:
        if not changed:
            continue
        column = next(iter(table.primary_key)).name
        for key, value in changed.items():
            if value is None:
                batch.remove(table, key)
            else:
                batch.put(table, key, {column: key, "doc": to_text(value)})


def _meta(batch: Batch, key: str, value: str) -> None:
    batch.put(tables.meta, key, {"key": key, "value": value})


class Journal:
    """Writes batches one after another; what gathers meanwhile becomes the next one.

    Since memory is ahead of the disk, a batch that fails takes with it everything decided after it: all
    waiters get the error and ``reload`` puts memory back to what is on the disk.

    Attributes:
        listeners: Called with the seconds each commit took, and how many decisions were in it.
    """

    def __init__(self, writer: GroupCommit, reload: Callable[[], None]) -> None:
        self._writer = writer
        self._reload = reload
        self._batch = Batch()
        self._waiters: list[tuple[asyncio.Future[None], Callable[[], None]]] = []
        self._wake = asyncio.Event()
        self._last: asyncio.Future[None] | None = None
        self.listeners: list[Callable[[float, int], None]] = []

    def add(self, draft: Draft, then: Callable[[], None]) -> asyncio.Future[None]:
        """Queue a draft; the future is done, and ``then`` was called, once it is durable.

        Nothing is queued if this raises: of what cannot be written, nothing is to become true in memory.
        """
        batch = Batch()
        rows(draft, batch)
        self._batch.join(batch)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((future, then))
        self._last = future
        self._wake.set()
        return future

    async def settled(self) -> None:
        """Return once what was added before is durable, or failed: memory shows it before history does."""
        if self._last is not None:
            await asyncio.wait([self._last])

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what has gathered."""
        self._wake.clear()
        if not self._waiters:
            return
        batch, self._batch = self._batch, Batch()
        waiters, self._waiters = self._waiters, []
        begun = time.monotonic()
        try:
            await self._writer.write(batch.write)
        except Exception as error:  # noqa: BLE001 - handed to everybody who waits
            waiters += self._waiters
            self._batch, self._waiters = Batch(), []
            self._reload()
            for future, _ in waiters:
                if not future.done():
                    future.set_exception(error)
            return
        for listener in self.listeners:
            listener(time.monotonic() - begun, len(waiters))
        for future, then in waiters:
            then()
            if not future.done():
                future.set_result(None)
