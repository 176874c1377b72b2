"""Checks of boards: asked for, begun, carried on round by round, and what comes of them.

A check with one verdict keeps its board by a claim of the hub's own: it is granted like any other, so that
nobody who waits is overtaken, and is given back clean. A board that is looping or in training is in
maintenance instead, and is given to nobody between two rounds.

Everything is decided from what is stored: ``advance`` may be called at any time, and after a crash.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import boards, claim_queue, claims, maintenance, runs, wire_tests
from hostler.hub.errors import ConflictError, InvalidError
from hostler.hub.records import HUB, CheckKind, CheckStage, Checkup, HealthVerdict, Purpose
from hostler.model.board import Lifecycle, move
from hostler.model.claim import Claim, ClaimState, Origin, Want
from hostler.model.health import AfterFailure, Candidate, HealthPlan, Urgency
from hostler.model.power import PowerState
from hostler.model.run import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.hub.records import BoardRecord, Principal, RunRecord
    from hostler.hub.state import Draft, State
    from hostler.model.json import Document

PROJECT = HUB.name
"""The project that the hub's own claims are on the account of; nobody belongs to it."""

LOWEST = -1_000_000
"""Priority of a check: everybody who waits goes first."""

WIRES_SECONDS = 900.0
"""Longest time a test of a board's wires may take: a few power cycles, with the queue of its equipment."""

MARGIN_SECONDS = 1800.0
"""What a plan may take beyond its steps: a power-up and a boot for each try, behind a busy switch."""

HOPELESS = 3
"""Boots in training that fail from the first on until it is given up: the rest would tell nothing new."""

TRAINING_MOST = 1000
LOOPING_REASON = "checked again and again"


def plan_of(draft: Draft | State, record: BoardRecord) -> HealthPlan:
    """Return how the boards of this one's class are checked; the usual way if the class does not say."""
    board_class = draft.inventory.classes.get(record.board.board_class)
    return (board_class.health if board_class else None) or HealthPlan()


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
        _health(draft, record, asked=by.name)
        draft.event(
            "health.asked", f'{by.name} asked for a check of board "{name}"', board=name, principal=by.name
        )
    return draft.boards[name]


def loop(draft: Draft, by: Principal, name: str) -> BoardRecord:
    """Check a board again and again until somebody says stop."""
    record = _checkable(draft, by, name, "let a board be checked again and again")
    record = _begin_aside(draft, record, by, CheckKind.LOOPING, 0, LOOPING_REASON)
    return _health(draft, record, verdict=HealthVerdict.LOOPING, detail="")


def train(draft: Draft, by: Principal, name: str, boots: int) -> BoardRecord:
    """Have a board boot so many times before anybody may have it."""
    if not 1 <= boots <= TRAINING_MOST:
        raise InvalidError(f"a training has 1 to {TRAINING_MOST} boots, not {boots}")
    record = _checkable(draft, by, name, "train a board")
    return _enrol(draft, record, by, boots)


def enrol(draft: Draft, name: str) -> None:
    """Begin the training of a board that has just joined, if its class asks for one."""
    record = draft.boards[name]
    boots = plan_of(draft, record).training
    if boots and record.lifecycle is Lifecycle.AVAILABLE and record.board.power:
        _enrol(draft, record, HUB, boots)


def stop(draft: Draft, by: Principal, name: str) -> BoardRecord:
    """End the check of a board without a verdict; it comes back by way of a wipe."""
    record = maintenance.admins_board(draft, by, name, "stop a check")
    checkup = record.health.checkup
    if checkup is None:
        raise ConflictError(f'board "{name}" is in no check')
    runs.supersede(draft, record, f"{by.name} stopped the check")
    detail = f"stopped by {by.name} after {_rounds(checkup)}" if checkup.passed + checkup.failed else ""
    draft.event(
        "health.stopped", f'{by.name} stopped the check of board "{name}"', board=name, principal=by.name
    )
    verdict = HealthVerdict.UNKNOWN if checkup.kind is CheckKind.LOOPING else record.health.verdict
    record = _health(
        draft, draft.boards[name], checkup=None, verdict=verdict, at=draft.now, detail=detail, training=0
    )
    _leave(draft, record, checkup, by)
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
    record = _health(draft, record, verdict=verdict, at=at, detail=words, suspect="", passes=0, fails=0)
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
    record = _begin_aside(draft, record, by, CheckKind.TRAINING, boots, _training_words(0, boots))
    return _health(draft, record, training=boots, trained=draft.now)


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
    return _health(draft, record, checkup=checkup, asked="", suspect="")


# What the hub does by itself


class NotNowError(ConflictError):
    """Somebody else comes first; the check is begun another time."""


def begin(draft: Draft, name: str, why: Urgency) -> None:
    """Begin a check of a free board by a claim of the hub's own.

    Raises:
        NotNowError: the board is not to be had: somebody waits for it, or has booked it.
        Refusal: its plan cannot be carried out; the text says what is missing.
    """
    record = draft.boards[name]
    plan = plan_of(draft, record)
    orders = runs.resolve(draft, record, plan.plan)
    seconds = sum(order.seconds for order in orders) + MARGIN_SECONDS + WIRES_SECONDS
    claim = Claim(
        f"c-{secrets.token_hex(6)}", HUB.name, PROJECT, (Want(record.board.board_class, name),), "",
        # A second try, and a wipe's worth of patience: the check's own deadlines come first.
        2 * seconds + MARGIN_SECONDS, None, False, ClaimState.PENDING, draft.now, priority=LOWEST,
        origin=Origin.CHECK,
    )  # fmt: skip
    draft.claims.put(claim.id, claim)
    claim_queue.settle(draft)
    if draft.claims[claim.id].boards != (name,):
        raise NotNowError(f'board "{name}" is kept for somebody else')
    record = draft.boards[name]
    by = record.health.asked or HUB.name
    stage = CheckStage.WIRES if plan.wires else CheckStage.PLAN
    checkup = Checkup(CheckKind.ONCE, stage, draft.now, draft.now, by, claim.id, of=1)
    draft.event("health.begun", f'board "{name}" is being checked: {_WHY[why]}', board=name, claim=claim.id)
    record = _health(draft, record, checkup=checkup, asked="", suspect="")
    if stage is CheckStage.PLAN:
        _start_plan(draft, record, checkup)


_WHY = {
    Urgency.ASKED: "somebody asked for it",
    Urgency.SUSPECT: "its last run failed",
    Urgency.NEW: "it never was",
    Urgency.OVERDUE: "it is due",
}


def wires_tested(draft: Draft, name: str, report: Document) -> None:
    """Take over what the test of a board's wires found, and go on with the plan or end the check."""
    record = draft.boards.get(name)
    checkup = record.health.checkup if record else None
    if record is None or checkup is None or checkup.stage is not CheckStage.WIRES:
        return
    wire_tests.quarantine_crossed(draft, name, report)
    if report.get("ok"):
        _start_plan(draft, record, checkup)
        return
    rows = report.get("checks")
    wrong = [
        f"{row.get('what')}: {row.get('text')}"
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and not row.get("ok")
    ]
    _round_over(draft, record, checkup, "; ".join(wrong) or "the test of its wires failed")


def advance(draft: Draft, name: str) -> None:
    """Carry the check of a board on as far as it goes now; changes nothing when there is nothing to do."""
    record = draft.boards.get(name)
    checkup = record.health.checkup if record else None
    if record is None or checkup is None:
        return
    if _lost(record, checkup):
        draft.event("health.lost", f'the check of board "{name}" was ended by others', board=name)
        # Whoever took the board out of it does not want the same check to begin again at once.
        _health(draft, record, checkup=None, at=draft.now, training=0)
    elif checkup.stage is CheckStage.WIRES:
        if draft.now > checkup.since + WIRES_SECONDS:
            _round_over(draft, record, checkup, f"the test of its wires took more than {WIRES_SECONDS:g} s")
    elif checkup.stage is CheckStage.PLAN:
        _follow_plan(draft, record, checkup)
    elif boards.off_as_far_as_known(draft, record):
        _next_round(draft, record, checkup)
    elif draft.now > checkup.since + boards.POWER_OFF_SECONDS and name in draft.observed:
        state = draft.observed[name].power.state
        _conclude(draft, record, checkup, f"its power reads {state} instead of off")


def give_up(draft: Draft, name: str, why: str) -> None:
    """End the check of a board that cannot be carried on: its plan can no longer be made, say."""
    record = draft.boards.get(name)
    if record is not None and record.health.checkup is not None:
        _conclude(draft, record, record.health.checkup, why)


def resting(draft: Draft, record: BoardRecord) -> bool:
    """Tell whether a board in training has ended a boot, is off, and has not begun the next one."""
    checkup = record.health.checkup
    return (
        checkup is not None
        and (checkup.kind, checkup.stage) == (CheckKind.TRAINING, CheckStage.PAUSE)
        and checkup.run is not None
        and boards.off_as_far_as_known(draft, record)
    )


def _lost(record: BoardRecord, checkup: Checkup) -> bool:
    """Tell whether the board was taken out of the check: released by an admin, adopted anew."""
    if checkup.claim is None:
        return record.lifecycle is not Lifecycle.MAINTENANCE
    return record.claim != checkup.claim or record.lifecycle is not Lifecycle.CLAIMED


def _start_plan(draft: Draft, record: BoardRecord, checkup: Checkup) -> None:
    plan = "discover" if checkup.kind is CheckKind.TRAINING else plan_of(draft, record).plan
    orders = runs.resolve(draft, record, plan)
    run = runs.begin(draft, record, plan, orders, Purpose.CHECK, HUB, PowerState.OFF)
    boot = record.boot.number if record.boot else 0
    checkup = replace(checkup, stage=CheckStage.PLAN, since=draft.now, run=run.id, boot=boot, fault="")
    _health(draft, draft.boards[record.name], checkup=checkup)


def _follow_plan(draft: Draft, record: BoardRecord, checkup: Checkup) -> None:
    run = draft.runs.get(checkup.run or "")
    if run is None or record.run != checkup.run:
        _round_over(draft, record, checkup, "its run was replaced by another")
    elif run.status.state.ended:
        _round_over(draft, record, checkup, _fault(record, checkup, run))
    else:
        seconds = sum(step.seconds for step in run.order.steps) + MARGIN_SECONDS
        if draft.now > checkup.since + seconds:
            runs.supersede(draft, record, "the check took too long")
            _round_over(draft, draft.boards[record.name], checkup, f"its plan took more than {seconds:g} s")


def _fault(record: BoardRecord, checkup: Checkup, run: RunRecord) -> str:
    """Return why the run of a check is no pass, or empty."""
    status = run.status
    if status.state is not RunState.SUCCEEDED:
        names = runs.step_names(run)
        step = names[min(status.step, len(names) - 1)]
        return f"step {step} {status.state.replace('_', ' ')}" + (f": {status.error}" if status.error else "")
    boots = (record.boot.number if record.boot else 0) - checkup.boot
    if checkup.kind is CheckKind.TRAINING and boots > 1:
        return f"it took {boots} boots to come up once"  # a step is tried twice; here every boot counts
    return ""


def _round_over(draft: Draft, record: BoardRecord, checkup: Checkup, fault: str) -> None:
    """Count a round that has ended; the board goes off before anything else is done with it."""
    checkup = replace(
        checkup, stage=CheckStage.PAUSE, since=draft.now, fault=fault,
        passed=checkup.passed + (not fault), failed=checkup.failed + bool(fault),
    )  # fmt: skip
    record = _health(draft, record, checkup=checkup)
    if checkup.kind is CheckKind.ONCE:
        again = plan_of(draft, record).after_failure is AfterFailure.RETRY and checkup.attempt == 1
        if not fault or not again:
            _conclude(draft, record, checkup, fault)
        return
    done = checkup.passed + checkup.failed
    if checkup.kind is CheckKind.LOOPING:
        reason = f"{LOOPING_REASON}: {_rounds(checkup)}"
        passes, fails = (0, record.health.fails + 1) if fault else (record.health.passes + 1, 0)
        record = _health(draft, record, passes=passes, fails=fails, at=draft.now, detail=fault)
    else:
        reason = _training_words(done, checkup.of) + (f", {checkup.failed} failed" if checkup.failed else "")
        record = _health(draft, record, training=checkup.of - done)
    draft.boards.put(record.name, replace(record, reason=reason))
    draft.event(
        "health.round", f'board "{record.name}": round {done} ' + (f"failed: {fault}" if fault else "passed"),
        board=record.name, run=checkup.run, data={"round": done, "fault": fault, "kind": checkup.kind},
    )  # fmt: skip


def _next_round(draft: Draft, record: BoardRecord, checkup: Checkup) -> None:
    done = checkup.passed + checkup.failed
    if checkup.kind is CheckKind.ONCE and checkup.fault:
        checkup = replace(checkup, attempt=2, passed=0, failed=0)
    elif checkup.kind is CheckKind.TRAINING and checkup.failed == done == HOPELESS:
        _conclude(draft, record, checkup, f"in training its first {done} boots failed: {checkup.fault}")
        return
    elif checkup.of and done >= checkup.of:
        fault = f"in training {checkup.failed} of {checkup.of} boots failed" if checkup.failed else ""
        _conclude(draft, record, checkup, fault)
        return
    if checkup.kind is not CheckKind.TRAINING and plan_of(draft, record).wires:
        checkup = replace(checkup, stage=CheckStage.WIRES, since=draft.now)
        _health(draft, record, checkup=checkup)
    else:
        _start_plan(draft, record, checkup)


def _conclude(draft: Draft, record: BoardRecord, checkup: Checkup, fault: str) -> None:
    """Say what came of a check and let the board go on."""
    verdict = HealthVerdict.BAD if fault else HealthVerdict.GOOD
    health = record.health
    record = _health(
        draft, record, checkup=None, verdict=verdict, at=draft.now, detail=fault, training=0,
        passes=0 if fault else health.passes + 1, fails=health.fails + 1 if fault else 0,
    )  # fmt: skip
    words = f'board "{record.name}" ' + (f"failed its check: {fault}" if fault else "passed its check")
    draft.event(
        f"health.{verdict}", words, board=record.name, claim=checkup.claim, run=checkup.run,
        data={"kind": checkup.kind, "passed": checkup.passed, "failed": checkup.failed},
    )  # fmt: skip
    if not fault:
        _leave(draft, record, checkup, HUB)
        return
    runs.supersede(draft, record, "its check failed")
    record = draft.boards[record.name]
    if record.lifecycle is Lifecycle.CLAIMED:  # a board that is held is put aside on its way back
        record = replace(record, lifecycle=move(record.name, record.lifecycle, Lifecycle.RELEASING))
    boards.quarantine(draft, record, f"check failed: {fault}")


def _leave(draft: Draft, record: BoardRecord, checkup: Checkup, by: Principal) -> None:
    """Let a board out of a check: back where it was, or free by way of a wipe."""
    if checkup.claim is not None:
        claims.release(draft, HUB, checkup.claim)
    elif checkup.back is not None:
        draft.boards.put(record.name, replace(record, reason=checkup.back))
    else:
        maintenance.give_back(draft, record, by)


def _health(draft: Draft, record: BoardRecord, **changes: object) -> BoardRecord:
    record = replace(record, health=replace(record.health, **changes))  # type: ignore[arg-type]
    draft.boards.put(record.name, record)
    return record


def _training_words(done: int, boots: int) -> str:
    return f"in training {done}/{boots}"


def _rounds(checkup: Checkup) -> str:
    return f"{checkup.passed} passed, {checkup.failed} failed"
