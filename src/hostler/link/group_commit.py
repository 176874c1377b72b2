"""One writer per database, and one fsync for all that wait at the same moment."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")

# Enough to share an fsync among every client that can be waiting at once, small enough that the first of
# them does not wait for a thousand others.
_BATCH = 256


class StorageError(Exception):
    """A database file cannot be read or written; the text names it and says why."""


@contextmanager
def storing(path: Path, advice: str = "") -> Iterator[None]:
    """Let whatever goes wrong with a database file in here leave as a StorageError."""
    try:
        yield
    except (SQLAlchemyError, OSError, ValueError, LookupError) as error:
        reason = getattr(error, "orig", None) or error
        raise StorageError(f"{path}: {reason}{advice and '; ' + advice}") from error


def sqlite_engine(path: Path) -> sqlalchemy.Engine:
    """Open a SQLite file in WAL mode with full durability; made readable by its owner only."""
    path.touch(mode=0o600, exist_ok=True)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        # The driver's own transaction handling does not know savepoints; SQLAlchemy's BEGIN below does.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlalchemy.Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class GroupCommit:
    """The only writer of a database: a thread that commits whatever has gathered while it last committed.

    A job is a function of a connection that does nothing but read and write there: it may be run again when
    another one of its batch fails, whose failure undoes that job alone. It returns to its caller only once it
    is on disk.
    """

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[sqlalchemy.Connection], T]) -> T:
        """Run ``work`` in the writer and return its result once it is durable; raises what it raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return await future

    def close(self) -> None:
        """Commit what is waiting, end the thread and close the database."""
        self._jobs.put(None)
        self._thread.join(timeout=30)
        self._engine.dispose()

    def _run(self) -> None:
        with self._engine.connect() as connection:
            while True:
                first = self._jobs.get()
                if first is None:
                    return
                batch = [first]
                closing = False
                while len(batch) < _BATCH:
                    try:
                        job = self._jobs.get_nowait()
                    except queue.Empty:
                        break
                    if job is None:
                        closing = True
                        break
                    batch.append(job)
                _deliver(self._commit(connection, batch))
                if closing:
                    return

    @staticmethod
    def _commit(
        connection: sqlalchemy.Connection, batch: list[_Job]
    ) -> list[tuple[_Job, Any, Exception | None]]:
        # Nearly always all of them succeed, and a savepoint costs more than most jobs do.
        try:
            with connection.begin():
                return [(job, job.work(connection), None) for job in batch]
        except Exception:  # noqa: BLE001 - undone; whose it was is found by doing them one by one
            return GroupCommit._commit_apart(connection, batch)

    @staticmethod
    def _commit_apart(
        connection: sqlalchemy.Connection, batch: list[_Job]
    ) -> list[tuple[_Job, Any, Exception | None]]:
        outcomes: list[tuple[_Job, Any, Exception | None]] = []
        try:
            with connection.begin():
                for job in batch:
                    try:
                        with connection.begin_nested():
                            outcomes.append((job, job.work(connection), None))
                    except Exception as error:  # noqa: BLE001 - goes to the caller of this job
                        outcomes.append((job, None, error))
        except Exception as error:  # noqa: BLE001 - nothing of the batch is on disk: every caller must know
            return [(job, None, error) for job in batch]
        return outcomes


def _deliver(outcomes: list[tuple[_Job, Any, Exception | None]]) -> None:
    """Wake the callers: one wake-up for each loop, not one for each job."""
    loops = {job.loop for job, _, _ in outcomes}
    for loop in loops:
        mine = [outcome for outcome in outcomes if outcome[0].loop is loop]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, mine)


def _settle(outcomes: list[tuple[_Job, Any, Exception | None]]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
