"""Forgetting what is long over: closed claims, ended runs, events, boots; a little at a time.

``[lab] keep`` and ``keep_traces`` say for how long. Nothing goes that is open or that a board refers to; the
last event stays, since the numbers of those to come go on from it. Events are taken to be in order of time:
one that was told late goes with those around it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy

    from hostler.hub.database import Database
    from hostler.hub.state import State

log = logging.getLogger(__name__)

BATCH = 500
"""Rows of a table in one transaction: milliseconds, which nobody who waits for the disk notices."""
REST_SECONDS = 0.2
EVERY_SECONDS = 3600.0

_CLAIMS = """
DELETE FROM claims WHERE id IN (
    SELECT id FROM claims WHERE state = 'closed' AND created < :before
    AND json_extract(doc, '$.closed') < :before ORDER BY created LIMIT :batch)
"""
_RUNS = """
DELETE FROM runs WHERE id IN (
    SELECT id FROM runs WHERE created < :before AND state NOT IN ('queued', 'running')
    AND id NOT IN (SELECT value FROM json_each(:needed)) ORDER BY created LIMIT :batch)
"""
_EVENTS = """
DELETE FROM events WHERE at < :before AND seq < (SELECT max(seq) FROM events)
    AND seq < (SELECT min(seq) FROM events) + :batch
"""
_TRACES = """
DELETE FROM events WHERE at < :before AND seq < (SELECT max(seq) FROM events)
    AND seq >= :first AND seq < :first + :batch AND doc LIKE '%"trace": true}'
"""
_BOOTS = """
DELETE FROM boots WHERE id IN (
    SELECT id FROM boots WHERE started < :before AND id NOT IN (SELECT value FROM json_each(:needed))
    ORDER BY started LIMIT :batch)
"""


class Retention:
    """Removes what is older than the lab wants to keep.

    Args:
        state: Returns what is.
        database: What is to be made smaller.
        clock: Tells Unix time.
    """

    def __init__(self, state: Callable[[], State], database: Database, clock: Callable[[], float]) -> None:
        self._state = state
        self._database = database
        self._clock = clock
        self._traces_from = 0

    async def run(self) -> None:
        """Sweep now and then until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.sweep()
            except SQLAlchemyError as error:
                log.warning("old claims, runs and events are not removed now: %s", error)

    async def sweep(self, rest: float = REST_SECONDS) -> int:
        """Remove all that is old enough, with a rest after each part; returns how many rows that were."""
        removed = 0
        while gone := await self._sweep_part():
            removed += gone
            await asyncio.sleep(rest)
        return removed

    async def _sweep_part(self) -> int:
        state, now = self._state(), self._clock()
        keep, traces = now - state.inventory.keep, now - state.inventory.keep_traces
        boots = [record.boot.id for record in state.boards.values() if record.boot]
        gone = await self._delete(_CLAIMS, before=keep)
        gone += await self._delete(_RUNS, before=keep, needed=json.dumps(list(state.runs)))
        gone += await self._delete(_EVENTS, before=keep)
        gone += await self._delete(_BOOTS, before=traces, needed=json.dumps(boots))
        return gone + await self._delete_traces(traces)

    async def _delete_traces(self, before: float) -> int:
        """Look through events as far as they are old; the next sweep goes on from there."""
        look = partial(_old_events, begin=self._traces_from, before=before)
        self._traces_from, last = await asyncio.to_thread(self._database.read, look)
        gone = 0
        while not gone and self._traces_from < last:
            gone = await self._delete(_TRACES, before=before, first=self._traces_from)
            if not gone:
                self._traces_from = min(self._traces_from + BATCH, last)
        return gone

    async def _delete(self, statement: str, **values: object) -> int:
        def work(connection: sqlalchemy.Connection) -> int:
            return connection.exec_driver_sql(statement, {**values, "batch": BATCH}).rowcount

        return await self._database.writer.write(work)


def _old_events(connection: sqlalchemy.Connection, begin: int, before: float) -> tuple[int, int]:
    """Return the number of the first event from ``begin`` on, and of the first one that is not yet old."""
    first = connection.exec_driver_sql("SELECT min(seq) FROM events").scalar() or 0
    first = max(int(first), begin)
    young = "SELECT seq FROM events WHERE seq >= :first AND at >= :before ORDER BY seq LIMIT 1"
    last = connection.exec_driver_sql(young, {"first": first, "before": before}).scalar()
    if last is None:
        last = connection.exec_driver_sql("SELECT max(seq) FROM events").scalar() or 0
    return first, int(last)
