"""Reading everything that decisions are made from, once at start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy

from hostler.hub import tables
from hostler.hub.errors import DatabaseError
from hostler.hub.image_records import ImageRecord
from hostler.hub.inventory import Inventory
from hostler.hub.records import (
    Agent,
    BoardRecord,
    Hook,
    Principal,
    Project,
    RunRecord,
    SshKey,
    Token,
)
from hostler.hub.state import State
from hostler.link.documents import DocumentError, from_document
from hostler.model.claim import Claim, ClaimState

if TYPE_CHECKING:
    from hostler.hub.database import Database


def load_state(database: Database) -> State:
    """Return the state as it is on the disk; raises DatabaseError when a row cannot be read."""
    state = State()
    state.boards = {record.name: record for record in database.load(tables.boards, BoardRecord)}
    still_open = tables.claims.c.state != ClaimState.CLOSED
    state.claims = {claim.id: claim for claim in database.load_where(tables.claims, Claim, still_open)}
    wanted = [record.run for record in state.boards.values() if record.run]
    for run in database.load_where(tables.runs, RunRecord, tables.runs.c.id.in_(wanted)):
        state.runs[run.id] = run
    state.images = {image.name: image for image in database.load(tables.images, ImageRecord)}
    state.principals = {one.name: one for one in database.load(tables.principals, Principal)}
    state.projects = {project.name: project for project in database.load(tables.projects, Project)}
    state.tokens = {token.hash: token for token in database.load(tables.tokens, Token)}
    state.keys = {key.fingerprint: key for key in database.load(tables.keys, SshKey)}
    state.hooks = {hook.id: hook for hook in database.load(tables.hooks, Hook)}
    last = sqlalchemy.select(sqlalchemy.func.max(tables.events.c.seq))
    state.seq = database.read(lambda connection: connection.execute(last).scalar()) or 0
    _load_meta(database, state)
    state.index()
    return state


def _load_meta(database: Database, state: State) -> None:
    for row in database.rows(tables.meta):
        try:
            if row.key == "inventory":
                state.inventory = from_document(Inventory, json.loads(row.value))
            elif row.key == "cursor":
                state.cursor = int(row.value)
            elif row.key.startswith("agent/"):
                agent = from_document(Agent, json.loads(row.value))
                state.agents[agent.arch] = agent
        except (DocumentError, ValueError) as error:
            raise DatabaseError(
                f"{database.path}: {row.key} cannot be read: {error}; restore a backup"
            ) from error
