"""A check of a board as it goes on: begun, carried on round by round, and what comes of it.

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
from hostler.hub.errors import ConflictError
from hostler.hub.records import HUB, CheckKind, CheckStage, Checkup, HealthVerdict, Purpose
from hostler.model.board import Lifecycle, move
from hostler.model.claim import Claim, ClaimState, Origin, Want
from hostler.model.health import AfterFailure, HealthPlan, Urgency
from hostler.model.power import PowerState
from hostler.model.run import RunState

if TYPE_CHECKING:
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

LOOPING_REASON = "checked again and again"


def plan_of(draft: Draft | State, record: BoardRecord) -> HealthPlan:
    """Return how the boards of this one's class are checked; the usual way if the class does not say."""
    board_class = draft.inventory.classes.get(record.board.board_class)
    return (board_class.health if board_class else None) or HealthPlan()


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
    record = note(draft, record, checkup=checkup, asked="", suspect="")
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
        note(draft, record, checkup=None, at=draft.now, training=0)
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
    note(draft, draft.boards[record.name], checkup=checkup)


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
    record = note(draft, record, checkup=checkup)
    if checkup.kind is CheckKind.ONCE:
        again = plan_of(draft, record).after_failure is AfterFailure.RETRY and checkup.attempt == 1
        if not fault or not again:
            _conclude(draft, record, checkup, fault)
        return
    done = checkup.passed + checkup.failed
    if checkup.kind is CheckKind.LOOPING:
        reason = f"{LOOPING_REASON}: {rounds(checkup)}"
        passes, fails = (0, record.health.fails + 1) if fault else (record.health.passes + 1, 0)
        record = note(draft, record, passes=passes, fails=fails, at=draft.now, detail=fault)
    else:
        reason = training_words(done, checkup.of) + (f", {checkup.failed} failed" if checkup.failed else "")
        record = note(draft, record, training=checkup.of - done)
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
        note(draft, record, checkup=checkup)
    else:
        _start_plan(draft, record, checkup)


def _conclude(draft: Draft, record: BoardRecord, checkup: Checkup, fault: str) -> None:
    """Say what came of a check and let the board go on."""
    verdict = HealthVerdict.BAD if fault else HealthVerdict.GOOD
    health = record.health
    record = note(
        draft, record, checkup=None, verdict=verdict, at=draft.now, detail=fault, training=0,
        passes=0 if fault else health.passes + 1, fails=health.fails + 1 if fault else 0,
    )  # fmt: skip
    words = f'board "{record.name}" ' + (f"failed its check: {fault}" if fault else "passed its check")
    draft.event(
        f"health.{verdict}", words, board=record.name, claim=checkup.claim, run=checkup.run,
        data={"kind": checkup.kind, "passed": checkup.passed, "failed": checkup.failed},
    )  # fmt: skip
    if not fault:
        leave(draft, record, checkup, HUB)
        return
    runs.supersede(draft, record, "its check failed")
    record = draft.boards[record.name]
    if record.lifecycle is Lifecycle.CLAIMED:  # a board that is held is put aside on its way back
        record = replace(record, lifecycle=move(record.name, record.lifecycle, Lifecycle.RELEASING))
    boards.quarantine(draft, record, f"check failed: {fault}")


def leave(draft: Draft, record: BoardRecord, checkup: Checkup, by: Principal) -> None:
    """Let a board out of a check: back where it was, or free by way of a wipe."""
    if checkup.claim is not None:
        claims.release(draft, HUB, checkup.claim)
    elif checkup.back is not None:
        draft.boards.put(record.name, replace(record, reason=checkup.back))
    else:
        maintenance.give_back(draft, record, by)


def note(draft: Draft, record: BoardRecord, **changes: object) -> BoardRecord:
    """Change what is known of a board's health; returns the board with it."""
    record = replace(record, health=replace(record.health, **changes))  # type: ignore[arg-type]
    draft.boards.put(record.name, record)
    return record


def training_words(done: int, boots: int) -> str:
    """Say how far a training is."""
    return f"in training {done}/{boots}"


def rounds(checkup: Checkup) -> str:
    """Say what came of the rounds of a check so far."""
    return f"{checkup.passed} passed, {checkup.failed} failed"
