"""The hub's database: opened, checked, brought up to date, and read once at start."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from sqlalchemy.exc import DatabaseError as SqlError

from hostler.hub.errors import DatabaseError
from hostler.link.documents import DocumentError, from_document
from hostler.link.group_commit import GroupCommit, sqlite_engine

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

HEAD = "0002"
"""The revision this code works with; the last one in ``hub/migrations/versions``."""


class Database:
    """One SQLite file with one writer, held by one process.

    Attributes:
        engine: For reading; each read uses a connection of its own.
        writer: For writing.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the database and bring it up to date.

        Raises:
            DatabaseError: it is damaged, newer than this code, held by another process, or cannot be written.
        """
        self.path = path
        self._lock = _hold(path)
        try:
            self.engine = sqlite_engine(path)
            self._prepare()
        except (SqlError, OSError) as error:
            self._lock.close()
            reason = error.orig if isinstance(error, SqlError) else error
            raise DatabaseError(
                f"{path}: cannot be used as a database: {reason}; make room if the disk is full, else put it "
                "back from a backup, or move it away to begin with an empty one"
            ) from error
        except BaseException:
            self._lock.close()
            raise
        self.writer = GroupCommit(self.engine)

    def read(self, query: Callable[[sqlalchemy.Connection], T]) -> T:
        """Run a query in a connection of its own; call it from a thread, it blocks."""
        with self.engine.connect() as connection:
            return query(connection)

    def load(self, table: sqlalchemy.Table, kind: type[T]) -> list[T]:
        """Return the values of every row of a table with a ``doc``."""
        return self.load_where(table, kind, sqlalchemy.true())

    def load_where(
        self, table: sqlalchemy.Table, kind: type[T], where: sqlalchemy.ColumnElement[bool]
    ) -> list[T]:
        """Return the values of the rows for which ``where`` holds."""
        return self.load_query(sqlalchemy.select(table.c.doc).where(where), kind)

    def load_query(self, query: sqlalchemy.Select[Any], kind: type[T]) -> list[T]:
        """Return the values of the documents a query finds."""
        texts = self.read(lambda connection: connection.execute(query).scalars().all())
        try:
            return [from_document(kind, json.loads(text)) for text in texts]
        except (DocumentError, json.JSONDecodeError) as error:
            raise DatabaseError(
                f"{self.path}: a {kind.__name__} cannot be read: {error}; put the file back from a backup"
            ) from error

    def rows(self, table: sqlalchemy.Table) -> list[Any]:
        """Return every row of a table."""
        return list(self.read(lambda connection: connection.execute(sqlalchemy.select(table)).all()))

    def close(self) -> None:
        """Write what is waiting and let go."""
        self.writer.close()
        self._lock.close()

    def _prepare(self) -> None:
        with self.engine.connect() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if verdict != "ok":
                raise DatabaseError(f"{self.path}: is damaged ({verdict}); put it back from a backup")
            revision = _revision(connection)
        if revision != HEAD:
            self._upgrade(revision)

    def _upgrade(self, revision: str | None) -> None:
        # Imported only when there is something to do: it costs memory and start-up time.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision is not None and revision not in known:
            raise DatabaseError(
                f"{self.path}: was written by a newer Hostler (revision {revision}, this one knows up to "
                f"{HEAD}); run that newer version, or put back the backup made before the upgrade"
            )
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _revision(connection: sqlalchemy.Connection) -> str | None:
    names = sqlalchemy.inspect(connection).get_table_names()
    if "alembic_version" not in names:
        if names:
            raise DatabaseError("the file is a database, but not one of Hostler's; choose another place")
        return None
    value = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(value) if value is not None else None


def _hold(path: Path) -> IO[str]:
    """Lock the database against a second hub; the kernel lets go when this process ends, however it ends."""
    try:
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise DatabaseError(
            f"{path}: cannot be written: {error.strerror}; choose a directory that exists and is yours"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise DatabaseError(f"{path}: another Hostler runs on this database; stop that one first") from error
    return lock
