"""Projects, named tokens, ssh keys and hooks; claims that hold several boards."""

from __future__ import annotations

import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PROJECT = "default"


def upgrade() -> None:
    """Turn principals, tokens and claims into what they are now, and make the new tables."""
    connection = op.get_bind()
    people = connection.exec_driver_sql("SELECT name, role, created FROM principals").all()
    tokens = connection.exec_driver_sql("SELECT hash, principal, created FROM tokens").all()
    for name in ("principals", "tokens"):
        op.drop_table(name)
    made = {
        table: op.create_table(
            table, sa.Column(key, sa.String, primary_key=True), sa.Column("doc", sa.String, nullable=False)
        )
        for table, key in (
            ("principals", "name"), ("projects", "name"), ("tokens", "hash"), ("keys", "fingerprint"),
            ("hooks", "id"),
        )
    }  # fmt: skip
    op.bulk_insert(
        made["principals"],
        [
            {"name": name, "doc": json.dumps({"name": name, "role": role, "created": created})}
            for name, role, created in people
        ],
    )
    op.bulk_insert(
        made["tokens"],
        [
            {
                "hash": digest,
                "doc": json.dumps(
                    {
                        "id": f"t-{secrets.token_hex(4)}", "hash": digest, "principal": owner,
                        "name": "first", "created": created,
                    }
                ),
            }
            for digest, owner, created in tokens
        ],
    )  # fmt: skip
    _claims(connection)


def _claims(connection: sa.Connection) -> None:
    with op.batch_alter_table("claims") as table:
        table.add_column(sa.Column("project", sa.String, nullable=False, server_default=_PROJECT))
    for key, text in connection.exec_driver_sql("SELECT id, doc FROM claims").all():
        doc = json.loads(text)
        wanted, board = doc.pop("board_class"), doc.pop("board", None)
        doc |= {
            "project": _PROJECT,
            "wants": [{"board_class": wanted}],
            "boards": [board] if board else [],
        }
        connection.execute(
            sa.text("UPDATE claims SET doc = :doc WHERE id = :id"), {"doc": json.dumps(doc), "id": key}
        )


def downgrade() -> None:
    """There is no way back: what is new would be lost."""
    raise NotImplementedError("put back the backup made before the upgrade")
