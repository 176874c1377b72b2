"""A run: a plan on a board, how far it is, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hostler.model.plan import StepOrder


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"

    @property
    def ended(self) -> bool:
        """True when nothing more will happen."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


class Phase(StrEnum):
    """What the present step of a running run is doing."""

    PREPARING = "preparing"
    POWERING = "powering"
    BOOTING = "booting"
    WAITING = "waiting"
    EXECUTING = "executing"
    VERIFYING = "verifying"


@dataclass(frozen=True, slots=True)
class RunOrder:
    """A run as the hub orders it from a rack.

    Attributes:
        id: Unique for ever.
        steps: In order; each resolved.
        cancelled: True when somebody called it off.
    """

    id: str
    steps: tuple[StepOrder, ...]
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is, as the rack sees it.

    Attributes:
        id: The run's id.
        state: queued, running, or how it ended.
        step: Index of the present step, or of the last one begun.
        phase: What that step is doing.
        attempt: 1 for the first try of the present step.
        since: Unix time the present phase began.
        started: Unix time the run began.
        ended: Unix time it ended, or None.
        boot: Id of the boot that serves the present step, or None.
        done: Bytes done in the present phase.
        total: Bytes to do in the present phase; 0: not known.
        results: One result object for each finished step.
        error: Why it failed, for people; empty otherwise.
        log: Last lines of what failed.
    """

    id: str
    state: RunState
    step: int = 0
    phase: Phase = Phase.PREPARING
    attempt: int = 1
    since: float = 0.0
    started: float = 0.0
    ended: float | None = None
    boot: str | None = None
    done: int = 0
    total: int = 0
    results: tuple[dict[str, Any], ...] = ()
    error: str = ""
    log: tuple[str, ...] = field(default=())

    @property
    def boot_began(self) -> bool:
        """Whether the present step has a boot of its own: until then the board runs what it ran before."""
        return self.boot is not None and self.phase is not Phase.PREPARING
