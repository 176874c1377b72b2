"""Databases of earlier versions: what they keep is kept."""

from __future__ import annotations

import json
from pathlib import Path

from alembic import command
from alembic.config import Config

import hostler.hub.database as module
from hostler.hub.database import Database
from hostler.hub.loading import load_state
from hostler.hub.records import DEFAULT_PROJECT, Role
from hostler.hub.tokens import digest, shown
from hostler.link.group_commit import sqlite_engine
from hostler.model.claim import ClaimState, Want


def _made_at(path: Path, revision: str, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Make a database as that revision had it, with these rows."""
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    with sqlite_engine(path).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement, values in statements:
            connection.exec_driver_sql(statement, values)


def test_the_first_version_keeps_people_tokens_and_claims(tmp_path: Path):
    """Who had a token before projects came has it after, and an open claim still holds its board."""
    path = tmp_path / "hub.sqlite"
    claim = {
        "id": "c-1", "principal": "anna", "board_class": "rpi4", "name": "mine", "ttl": 60.0, "image": None,
        "power": False, "state": "active", "created": 1.0, "board": "pi-1", "granted": 2.0, "expires": 62.0,
    }  # fmt: skip
    _made_at(
        path,
        "0001",
        ("INSERT INTO principals VALUES (?, ?, ?)", ("anna", "member", 1.0)),
        ("INSERT INTO tokens VALUES (?, ?, ?)", (digest("hst_secret"), "anna", 1.0)),
        ("INSERT INTO claims VALUES (?, ?, ?, ?, ?)", ("c-1", "active", "anna", 1.0, json.dumps(claim))),
    )

    database = Database(path)
    state = load_state(database)
    database.close()

    _, who = shown(state, "Bearer hst_secret", 10.0)
    assert (who.name, who.role) == ("anna", Role.MEMBER)
    held = state.claims["c-1"]
    assert (held.state, held.project, held.wants) == (
        ClaimState.ACTIVE, DEFAULT_PROJECT, (Want(board_class="rpi4"),)
    )  # fmt: skip
    assert held.boards == ("pi-1",)
