"""Looking things up: what is open from memory, what is over from the disk."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from hostler.hub import access, claims, tables
from hostler.hub.errors import ForbiddenError, NotFoundError
from hostler.hub.records import BoardRecord, Principal, RunRecord
from hostler.hub.state import Draft
from hostler.model.claim import Claim, ClaimState

if TYPE_CHECKING:
    import sqlalchemy

    from hostler.hub.database import Database
    from hostler.hub.hub import Hub

T = TypeVar("T")

_LIMIT = 500  # of what is over, newest first


class Reading:
    """Answers about boards, claims and runs, as they are at this moment."""

    def __init__(self, hub: Hub, database: Database) -> None:
        self._hub = hub
        self._database = database

    def board(self, name: str) -> BoardRecord:
        """Return a board; raises NotFoundError naming those there are when they are few."""
        record = self._hub.state.boards.get(name)
        if record is None:
            known = sorted(self._hub.state.boards)
            few = f"; boards: {', '.join(known)}" if 0 < len(known) <= 20 else ""
            raise NotFoundError(f'there is no board "{name}"{few}', kind="unknown-board")
        return record

    def board_run(self, record: BoardRecord) -> RunRecord | None:
        """Return a board's active or last run with its progress to the byte."""
        run = self._hub.state.runs.get(record.run) if record.run else None
        return self._live(run) if run else None

    def _live(self, run: RunRecord) -> RunRecord:
        """Put in what the rack said last: progress is not written, so the record may lag behind."""
        observed = self._hub.state.observed.get(run.board)
        if observed is None or observed.run is None or run.status.state.ended or observed.run.id != run.id:
            return run
        if observed.run.state.ended:
            return run  # its end is on its way to the disk; nobody hears of it before it is there
        return replace(run, status=observed.run)

    async def run(self, run_id: str) -> RunRecord:
        """Return a run by id."""
        live = self._hub.state.runs.get(run_id)
        if live is not None:
            return self._live(live)
        found = await self._load(tables.runs, RunRecord, tables.runs.c.id == run_id)
        if not found:
            raise NotFoundError(f'there is no run "{run_id}"', kind="unknown-run")
        return found[0]

    async def runs(self, board: str | None) -> list[RunRecord]:
        """Return runs, newest first."""
        if board is not None:
            self.board(board)
        where = tables.runs.c.board == board if board is not None else None
        found = await self._load(tables.runs, RunRecord, where)
        return [self._live(self._hub.state.runs.get(run.id, run)) for run in found]

    async def claims(self, *, closed: bool) -> list[Claim]:
        """Return the open claims, oldest first; with ``closed`` also those that are over."""
        known = self._hub.state.claims.values()
        current = sorted(
            (claim for claim in known if claim.state is not ClaimState.CLOSED),
            key=lambda claim: (claim.created, claim.id),
        )
        if not closed:
            return current
        over = await self._load(tables.claims, Claim, tables.claims.c.state == ClaimState.CLOSED)
        over += [claim for claim in known if claim.state is ClaimState.CLOSED]
        by_id = {claim.id: claim for claim in (*current, *over)}
        return sorted(by_id.values(), key=lambda claim: (claim.created, claim.id))

    async def claim(self, by: Principal, key: str) -> Claim:
        """Return a claim by id, or an open one by name."""
        try:
            return claims.find(Draft(self._hub.state, 0.0), by, key)
        except NotFoundError as error:
            found = await self._load(tables.claims, Claim, tables.claims.c.id == key)
            if not found:
                raise error from None
            return found[0]

    async def own_closed_claim(self, by: Principal, key: str) -> Claim:
        """Return a claim by id; raises ForbiddenError if it is somebody else's."""
        claim = await self.claim(by, key)
        if not access.may_control(by, claim):
            raise ForbiddenError(f"claim {claim.id} belongs to {claim.principal}")
        return claim

    async def _load(
        self, table: sqlalchemy.Table, kind: type[T], where: sqlalchemy.ColumnElement[bool] | None
    ) -> list[T]:
        query = select(table.c.doc).order_by(table.c.created.desc()).limit(_LIMIT)
        if where is not None:
            query = query.where(where)
        return await asyncio.to_thread(self._database.load_query, query, kind)
