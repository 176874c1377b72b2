"""Health: what a check of a board does, when one is due, and which board is next.

A check is asked of a board that nobody holds and nobody waits for. It looks at every wire, carries out a
plan, and says *good* or *bad*. A board that is *looping* is checked again and again; one in *training*
boots so many times before it is trusted. Both stand aside meanwhile, and are given to nobody.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hostler.model.netboot_order import netboot_order
from hostler.model.plan import StepKind
from hostler.model.run import Phase, RunState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.model.run import RunOrder, RunStatus
    from hostler.model.trace import TraceEvent


class AfterFailure(StrEnum):
    """What is done with a board that did not pass.

    Attributes:
        QUARANTINE: It is put aside with the reason.
        RETRY: It is checked once more first: a bad socket shows itself twice, bad luck does not.
    """

    QUARANTINE = "quarantine"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class HealthPlan:
    """How the boards of a class are checked.

    Attributes:
        plan: What is carried out on the board, as for a run.
        every: Seconds from one verdict until the next check is due; None: only when something calls for it.
        after_failure: What is done with a board that did not pass.
        wires: Whether every wire is tested first.
        training: Boots a new board has to manage before anybody gets it; 0: none.
        at_once: Boards of the class that may be in a check at the same time; None: a tenth, at least one.
    """

    plan: str = "discover"
    every: float | None = None
    after_failure: AfterFailure = AfterFailure.QUARANTINE
    wires: bool = False
    training: int = 0
    at_once: int | None = None

    def most(self, boards: int) -> int:
        """Return how many of so many boards of the class may be checked at once."""
        return self.at_once if self.at_once is not None else max(1, boards // 10)


class Urgency(StrEnum):
    """Why a board is to be checked; the first ones first."""

    ASKED = "asked"
    SUSPECT = "suspect"
    NEW = "new"
    OVERDUE = "overdue"


_RANK = {urgency: rank for rank, urgency in enumerate(Urgency)}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A board as the choice of the next check sees it.

    Attributes:
        board: Its name.
        board_class: Its class.
        free: Whether nobody holds it and nothing is wrong with it.
        checking: Whether the lab holds it for a check, or wipes it after one.
        asked: Whether somebody asked for a check.
        suspect: Whether a run failed on it for a reason that may be the board's.
        at: Unix time of the last verdict; None: there is none.
    """

    board: str
    board_class: str
    free: bool
    checking: bool = False
    asked: bool = False
    suspect: bool = False
    at: float | None = None


def urgency(candidate: Candidate, plan: HealthPlan | None, now: float) -> Urgency | None:
    """Return why a board is to be checked; None: it is not yet, or its class has no checks of its own."""
    if candidate.asked:
        return Urgency.ASKED
    if plan is None:
        return None
    if candidate.suspect:
        return Urgency.SUSPECT
    if plan.every is None:
        return None
    if candidate.at is None:
        return Urgency.NEW
    return Urgency.OVERDUE if now >= candidate.at + plan.every else None


def next_checks(
    candidates: Iterable[Candidate], plans: Mapping[str, HealthPlan], now: float
) -> list[tuple[str, Urgency]]:
    """Return the boards whose check is to begin now, the most urgent first.

    Only free boards are chosen, and never so many that more of a class are in a check than its plan allows.
    Of equal urgency the one that has waited longest comes first, so that every board has its turn.

    Args:
        candidates: Every board of the lab.
        plans: By class; a class without one is checked only when somebody asks.
        now: Unix time.
    """
    boards = list(candidates)
    room: dict[str, int] = {}
    for name in {board.board_class for board in boards}:
        members = [board for board in boards if board.board_class == name]
        most = plans.get(name, HealthPlan()).most(len(members))
        room[name] = most - sum(board.checking for board in members)
    wanted: list[tuple[int, float, str, Candidate, Urgency]] = []
    for board in boards:
        why = urgency(board, plans.get(board.board_class), now)
        if board.free and not board.checking and why is not None:
            wanted.append(
                (_RANK[why], board.at if board.at is not None else -math.inf, board.board, board, why)
            )
    chosen = []
    for *_, name, board, why in sorted(wanted, key=lambda one: one[:3]):
        if room[board.board_class] > 0:
            room[board.board_class] -= 1
            chosen.append((name, why))
    return chosen


def suspicious(order: RunOrder, status: RunStatus) -> bool:
    """Tell whether a failed run may be the board's fault.

    A person who calls a run off says nothing of the board, and an image that does not come up to its login,
    or an installer that does not come to its end, says more of the image. Everything else is what a board
    owes to whoever holds it.
    """
    if status.state not in (RunState.FAILED, RunState.TIMED_OUT):
        return False
    step = order.steps[status.step] if status.step < len(order.steps) else None
    if step is None:
        return True
    if netboot_order(step) is not None:
        return status.phase is not Phase.EXECUTING
    return step.kind is not StepKind.BOOT or status.phase is not Phase.BOOTING


STAGES = ("dhcp", "agent")
"""How far a boot into the agent came after power-on: its first lease, and the agent's first word."""


# An address from us, or one the board was heard to take from another server.
_STAGE_EVENTS = frozenset({("dhcp", "ack"), ("dhcp", "heard"), ("agent", "hello")})


def boot_stages(started: float, events: Iterable[TraceEvent]) -> dict[str, float]:
    """Return the seconds from power-on to each stage that was seen in a boot's trace.

    Args:
        started: Unix time of power-on.
        events: What was seen of this boot.
    """
    seen = {"dhcp": math.inf, "agent": math.inf}
    for event in events:
        if (event.source, event.kind) in _STAGE_EVENTS and event.at >= started:
            seen[event.source] = min(seen[event.source], event.at - started)
    return {stage: round(seconds, 1) for stage, seconds in seen.items() if math.isfinite(seconds)}


@dataclass(frozen=True, slots=True)
class StageTimes:
    """How long a stage took over several boots, in seconds from power-on."""

    stage: str
    boots: int
    shortest: float
    median: float
    longest: float


def stage_times(boots: Iterable[Mapping[str, float]]) -> list[StageTimes]:
    """Return the times of each stage over boots, as ``boot_stages`` returned them."""
    seen = list(boots)
    rows = []
    for stage in STAGES:
        times = [boot[stage] for boot in seen if stage in boot]
        if times:
            rows.append(StageTimes(stage, len(times), min(times), statistics.median(times), max(times)))
    return rows
