"""Alembic's way in: the connection comes from ``hub/database.py``, inside whose transaction all steps run."""

from __future__ import annotations

from alembic import context

from hostler.hub.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
context.run_migrations()
