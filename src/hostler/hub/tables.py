"""The tables, as SQLAlchemy Core sees them. The migrations make them; this describes where they have arrived.

Each noun is one row: the columns that are searched, and ``doc`` with the whole value as JSON. Rows are the
journal of what was decided in memory, and are read only at start and for history.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table

metadata = MetaData()


def _documents(name: str, key: str) -> Table:
    """Return a table that is searched by its key alone."""
    columns = Column(key, String, primary_key=True), Column("doc", String, nullable=False)
    return Table(name, metadata, *columns)


boards = Table(
    "boards",
    metadata,
    Column("name", String, primary_key=True),
    Column("lifecycle", String, nullable=False),
    Column("doc", String, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("project", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("doc", String, nullable=False),
    Index("claims_state", "state"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("board", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("doc", String, nullable=False),
    Index("runs_board", "board", "created"),
)

images = _documents("images", "name")

artefacts = Table(
    "artefacts",
    metadata,
    Column("id", String, primary_key=True),  # sha256 of its bytes
    Column("kind", String, nullable=False),  # kernel, initrd
    Column("arch", String, nullable=False),
    Column("created", Float, nullable=False),
)

principals = _documents("principals", "name")
projects = _documents("projects", "name")
tokens = _documents("tokens", "hash")  # sha256 of the token; the token itself is kept nowhere
keys = _documents("keys", "fingerprint")
hooks = _documents("hooks", "id")

boots = Table(
    "boots",
    metadata,
    Column("id", String, primary_key=True),
    Column("board", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("started", Float, nullable=False),
    Column("purpose", String, nullable=False),
    Column("claim", String),
    Index("boots_board", "board", "number"),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("board", String),
    Column("boot", String),
    Column("run", String),
    Column("claim", String),
    Column("principal", String),
    Column("doc", String, nullable=False),
    Index("events_boot", "boot", "seq"),
    Index("events_board", "board", "at"),
)

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)
