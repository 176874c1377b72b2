"""The database file: made from nothing, brought up to date, and refused when it cannot be trusted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import hostler.hub.database as module
from hostler.hub import tables
from hostler.hub.database import HEAD, Database
from hostler.hub.errors import DatabaseError
from hostler.hub.loading import load_state


def test_from_empty_to_the_tables(tmp_path: Path):
    """The migrations arrive exactly at what the code works with, and HEAD is the last of them."""
    database = Database(tmp_path / "hub.sqlite")
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    again = Database(tmp_path / "hub.sqlite")
    assert load_state(again).seq == 0
    again.close()


def test_a_newer_database_is_refused(tmp_path: Path):
    """A file of a newer version is left alone, and it is said what to do."""
    path = tmp_path / "hub.sqlite"
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="written by a newer Hostler"):
        Database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["garbage", "torn", "foreign", "row", "directory"])
def test_a_damaged_database_is_refused(tmp_path: Path, damage: str):
    """A file that is not a whole database of ours is never taken for an empty one."""
    path = tmp_path / "hub.sqlite"
    if damage == "garbage":
        path.write_bytes(b"this is not a database" * 1000)
    elif damage == "foreign":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE other (x)")
        connection.close()
    elif damage == "directory":
        path = tmp_path / "none" / "hub.sqlite"
    else:
        database = Database(path)
        database.close()
        if damage == "torn":
            data = bytearray(path.read_bytes())
            data[4096 : 4096 * 6] = b"\xff" * (4096 * 5)
            path.write_bytes(data)
        else:
            with sqlite3.connect(path) as connection:
                connection.execute("INSERT INTO boards VALUES ('b', 'available', '{\"board\": 1}')")
            connection.close()
    with pytest.raises(DatabaseError) as caught:
        load_state(Database(path))
    text = str(caught.value)
    assert "backup" in text or "another place" in text or "choose a directory" in text


def test_two_hubs_on_one_database(tmp_path: Path):
    """A second process is kept out while the first holds the file, and let in after."""
    path = tmp_path / "hub.sqlite"
    first = Database(path)
    with pytest.raises(DatabaseError, match="another Hostler"):
        Database(path)
    first.close()
    Database(path).close()


def test_a_failed_read_says_which(tmp_path: Path):
    """A query on a closed file is an error of the database, not an empty answer."""
    database = Database(tmp_path / "hub.sqlite")
    with pytest.raises(sqlalchemy.exc.DatabaseError):
        database.read(lambda connection: connection.exec_driver_sql("SELECT * FROM none"))
    database.close()
