"""The beginning: boards, claims, runs, images, artefacts, principals, tokens, boots, events, meta."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "boards",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("lifecycle", sa.String, nullable=False),
        sa.Column("doc", sa.String, nullable=False),
    )
    op.create_table(
        "claims",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("principal", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("doc", sa.String, nullable=False),
    )
    op.create_index("claims_state", "claims", ["state"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("board", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("doc", sa.String, nullable=False),
    )
    op.create_index("runs_board", "runs", ["board", "created"])
    op.create_table(
        "images",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("doc", sa.String, nullable=False),
    )
    op.create_table(
        "artefacts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("arch", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "principals",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("hash", sa.String, primary_key=True),
        sa.Column("principal", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "boots",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("board", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("claim", sa.String),
    )
    op.create_index("boots_board", "boots", ["board", "number"])
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("board", sa.String),
        sa.Column("boot", sa.String),
        sa.Column("run", sa.String),
        sa.Column("claim", sa.String),
        sa.Column("principal", sa.String),
        sa.Column("doc", sa.String, nullable=False),
    )
    op.create_index("events_boot", "events", ["boot", "seq"])
    op.create_index("events_board", "events", ["board", "at"])
    op.create_table(
        "meta",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )


def downgrade() -> None:
    """Go back to nothing."""
    for table in (
        "meta", "events", "boots", "tokens", "principals", "artefacts", "images", "runs", "claims", "boards"
    ):  # fmt: skip
        op.drop_table(table)
