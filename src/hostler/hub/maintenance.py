"""Taking boards aside for people to work on, and giving them back clean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import boards, claims, runs
from hostler.hub.errors import ConflictError, ForbiddenError, NotFoundError
from hostler.model.board import Lifecycle

if TYPE_CHECKING:
    from hostler.hub.records import BoardRecord, Principal
    from hostler.hub.state import Draft


def begin(draft: Draft, by: Principal, name: str, reason: str = "", *, kick: bool = False) -> BoardRecord:
    """Take a board aside: at once if nobody holds it, else as soon as it was given back.

    Args:
        draft: Where it is decided.
        by: An admin.
        name: The board.
        reason: Why, for people.
        kick: End the claim that holds the board now.

    Raises:
        ForbiddenError: ``by`` is no admin.
        NotFoundError: there is no such board.
        ConflictError: the board is not in the inventory, or in maintenance already.
    """
    record = admins_board(draft, by, name, "take a board aside")
    reason = reason or f"taken aside by {by.name}"
    if record.lifecycle is Lifecycle.MAINTENANCE:
        raise ConflictError(
            f'board "{name}" is in maintenance already: {record.reason}; '
            f"to end that: hostler maintenance {name} --end",
            kind="board-aside",
        )
    if record.lifecycle in (Lifecycle.AVAILABLE, Lifecycle.QUARANTINED):
        return boards.put_aside(draft, record, reason, by)
    record = replace(record, maintenance=reason)
    draft.boards.put(name, record)
    draft.event(
        "board.maintenance-planned", f'board "{name}" goes to maintenance once it is given back: {reason}',
        board=name, claim=record.claim, principal=by.name,
    )  # fmt: skip
    if kick and record.lifecycle is Lifecycle.CLAIMED and record.claim:
        claims.release(draft, by, record.claim)
    return draft.boards[name]


def end(draft: Draft, by: Principal, name: str) -> BoardRecord:
    """Let a board come back, by way of a wipe; or take back that it is to go to maintenance.

    Raises:
        ForbiddenError: ``by`` is no admin.
        NotFoundError: there is no such board.
        ConflictError: it is neither in maintenance nor to go there, is being checked, or cannot be wiped.
    """
    record = admins_board(draft, by, name, "give a board back")
    if record.maintenance and record.lifecycle is not Lifecycle.MAINTENANCE:
        draft.boards.put(name, replace(record, maintenance=""))
        draft.event(
            "board.maintenance-dropped", f'board "{name}" no longer goes to maintenance', board=name,
            principal=by.name,
        )  # fmt: skip
        return draft.boards[name]
    if record.lifecycle is not Lifecycle.MAINTENANCE:
        raise ConflictError(f'board "{name}" is {record.lifecycle}, not in maintenance')
    if record.health.checkup is not None:
        raise ConflictError(
            f'board "{name}" is {record.reason}; to end that: hostler health {name} stop', kind="board-busy"
        )
    if record.wire_test is not None:
        raise ConflictError(
            f'board "{name}" is {record.reason}; wait until that has ended', kind="board-busy"
        )
    return give_back(draft, record, by)


def give_back(draft: Draft, record: BoardRecord, by: Principal) -> BoardRecord:
    """Send a board from maintenance through a wipe; raises ConflictError when there is no agent to do it."""
    if absent := runs.no_agent(draft, record):
        raise ConflictError(absent, kind="no-agent")
    draft.event(
        "board.maintenance-ended", f'{by.name} gives board "{record.name}" back', board=record.name,
        principal=by.name,
    )  # fmt: skip
    boards.give_back(draft, record, by)
    return draft.boards[record.name]


def admins_board(draft: Draft, by: Principal, name: str, what: str) -> BoardRecord:
    """Return a board of the inventory to an admin; ``what`` they want to do, for the refusal."""
    record = draft.boards.get(name)
    if record is None:
        raise NotFoundError(f'there is no board "{name}"', kind="unknown-board")
    if not by.admin:
        raise ForbiddenError(f"only an admin may {what}")
    if record.board.board_class not in draft.inventory.classes:
        raise ConflictError(f'board "{name}" is not in lab.toml; adopt it first', kind="not-adopted")
    return record
