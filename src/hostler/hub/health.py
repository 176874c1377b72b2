"""Which boards may be checked, and what people ask: a check, its end, a training, a verdict of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import boards, checkups, maintenance, runs
from hostler.hub.errors import ConflictError, InvalidError
from hostler.hub.records import HUB, CheckKind, CheckStage, Checkup, HealthVerdict
from hostler.model.board import Lifecycle
from hostler.model.claim import Origin
from hostler.model.health import Candidate, HealthPlan
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.hub.records import BoardRecord, Principal
    from hostler.hub.state import Draft, State

TRAINING_MOST = 1000


def plans(state: State) -> dict[str, HealthPlan]:
    """Return how boards are checked, by class; those that are checked only when somebody asks left out."""
    classes = state.inventory.classes.values()
    return {one.name: one.health for one in classes if one.health is not None}


def candidates(state: State) -> Iterator[Candidate]:
    """Yield every board of the inventory as the choice of the next check sees it."""
    for record in state.boards.values():
        board_class = record.board.board_class
        if board_class not in state.inventory.classes:
            continue
        able = bool(record.board.power) and not runs.no_agent(state, record)
        claim = state.claims.get(record.claim or "")
        health = record.health
        yield Candidate(
            record.name, board_class,
            able and record.lifecycle is Lifecycle.AVAILABLE and record.health.checkup is None,
            checking=claim is not None and claim.origin is Origin.CHECK, asked=bool(health.asked),
            suspect=bool(health.suspect), at=health.at,
        )  # fmt: skip


# What people ask for


def ask(draft: Draft, by: Principal, name: str) -> BoardRecord:
    """Have a board checked: now, or as soon as nobody holds it and nobody waits for it."""
    record = _checkable(draft, by, name, "have a board checked")
    if record.lifecycle is Lifecycle.QUARANTINED:
        raise ConflictError(
            f'board "{name}" is quarantined: {record.reason}; to try it again: hostler recover {name}, '
            "which wipes it, and then ask for a check"
        )
    if record.lifecycle is Lifecycle.MAINTENANCE and record.health.checkup is None:
        _begin_aside(draft, record, by, CheckKind.ONCE, 1, "being checked")
        return draft.boards[name]
    if record.health.checkup is None and not record.health.asked:
        checkups.note(draft, record, asked=by.name)
        draft.event(
            "health.asked", f'{by.name} asked for a check of board "{name}"', board=name, principal=by.name
        )
    return draft.boards[name]


def loop(draft: Draft, by: Principal, name: str) -> BoardRecord:
    """Check a board again and again until somebody says stop."""
    record = _checkable(draft, by, name, "let a board be checked again and again")
    record = _begin_aside(draft, record, by, CheckKind.LOOPING, 0, checkups.LOOPING_REASON)
    return checkups.note(draft, record, verdict=HealthVerdict.LOOPING, detail="")


def train(draft: Draft, by: Principal, name: str, boots: int) -> BoardRecord:
    """Have a board boot so many times before anybody may have it."""
    if not 1 <= boots <= TRAINING_MOST:
        raise InvalidError(f"a training has 1 to {TRAINING_MOST} boots, not {boots}")
    record = _checkable(draft, by, name, "train a board")
    return _enrol(draft, record, by, boots)


def enrol(draft: Draft, name: str) -> None:
    """Begin the training of a board that has just joined, if its class asks for one."""
    record = draft.boards[name]
    boots = checkups.plan_of(draft, record).training
    if boots and record.lifecycle is Lifecycle.AVAILABLE and record.board.power:
        _enrol(draft, record, HUB, boots)


def stop(draft: Draft, by: Principal, name: str) -> BoardRecord:
    """End the check of a board without a verdict; it comes back by way of a wipe."""
    record = maintenance.admins_board(draft, by, name, "stop a check")
    checkup = record.health.checkup
    if checkup is None:
        raise ConflictError(f'board "{name}" is in no check')
    runs.supersede(draft, record, f"{by.name} stopped the check")
    detail = (
        f"stopped by {by.name} after {checkups.rounds(checkup)}" if checkup.passed + checkup.failed else ""
    )
    draft.event(
        "health.stopped", f'{by.name} stopped the check of board "{name}"', board=name, principal=by.name
    )
    verdict = HealthVerdict.UNKNOWN if checkup.kind is CheckKind.LOOPING else record.health.verdict
    record = checkups.note(
        draft, draft.boards[name], checkup=None, verdict=verdict, at=draft.now, detail=detail, training=0
    )
    checkups.leave(draft, record, checkup, by)
    return draft.boards[name]


def judge(draft: Draft, by: Principal, name: str, verdict: HealthVerdict, reason: str = "") -> BoardRecord:
    """Set a verdict by hand; a board that is bad is put aside, at once or when it is given back."""
    record = maintenance.admins_board(draft, by, name, "judge a board")
    if verdict is HealthVerdict.LOOPING:
        return loop(draft, by, name)
    if record.health.checkup is not None:
        raise ConflictError(
            f'board "{name}" is in a check; to end it: hostler health {name} stop', kind="board-busy"
        )
    words = f"set by {by.name}" + (f": {reason}" if reason else "")
    at = None if verdict is HealthVerdict.UNKNOWN else draft.now
    record = checkups.note(draft, record, verdict=verdict, at=at, detail=words, suspect="", passes=0, fails=0)
    draft.event(
        f"health.{verdict}", f'health of board "{name}" is {verdict}: {words}', board=name, principal=by.name
    )
    if verdict is HealthVerdict.BAD and record.lifecycle in (Lifecycle.AVAILABLE, Lifecycle.MAINTENANCE):
        boards.quarantine(draft, record, f"health bad: {words}")
    return draft.boards[name]


def _checkable(draft: Draft, by: Principal, name: str, what: str) -> BoardRecord:
    record = maintenance.admins_board(draft, by, name, what)
    if not record.board.power:
        raise ConflictError(f'board "{name}" has no power wire in lab.toml', kind="no-power")
    if absent := runs.no_agent(draft, record):
        raise ConflictError(absent, kind="no-agent")
    if record.health.checkup is not None and record.health.checkup.kind is not CheckKind.ONCE:
        raise ConflictError(
            f'board "{name}" is {record.reason}; to end that: hostler health {name} stop', kind="board-busy"
        )
    return record


def _enrol(draft: Draft, record: BoardRecord, by: Principal, boots: int) -> BoardRecord:
    record = _begin_aside(draft, record, by, CheckKind.TRAINING, boots, checkups.training_words(0, boots))
    return checkups.note(draft, record, training=boots, trained=draft.now)


def _begin_aside(
    draft: Draft, record: BoardRecord, by: Principal, kind: CheckKind, rounds: int, reason: str
) -> BoardRecord:
    """Take a board that nobody holds aside for a check; its first round begins once it is off."""
    if record.wire_test is not None:
        raise ConflictError(
            f'board "{record.name}" is being checked by {record.wire_test.by}; wait until that has ended',
            kind="board-busy",
        )
    busy = record.lifecycle not in (Lifecycle.AVAILABLE, Lifecycle.QUARANTINED, Lifecycle.MAINTENANCE)
    if busy or record.health.checkup is not None:
        raise ConflictError(
            f'board "{record.name}" is {record.lifecycle}; wait until it is free, or take it: '
            f"hostler maintenance {record.name} --now",
            kind="board-busy",
        )
    runs.refuse_while_active(draft, record)
    back = record.reason if record.lifecycle is Lifecycle.MAINTENANCE else None
    if record.lifecycle is not Lifecycle.MAINTENANCE:
        record = boards.put_aside(draft, record, reason, by)
    record = replace(record, reason=reason, power=PowerState.OFF)
    draft.boards.put(record.name, record)
    checkup = Checkup(kind, CheckStage.PAUSE, draft.now, draft.now, by.name, of=rounds, back=back)
    draft.event("health.begun", f'board "{record.name}" is {reason}', board=record.name, principal=by.name)
    return checkups.note(draft, record, checkup=checkup, asked="", suspect="")
