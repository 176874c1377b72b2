"""What becomes of a run: its next phase, its next step, another attempt, or its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hostler.model.keeper_view import Action, Record, Seen, View
from hostler.model.run import Phase, RunState, RunStatus

ATTEMPTS = 2
"""Tries of a step whose board went silent: one retry, as a second failure is not bad luck."""


def end(view: View, state: RunState, now: float, error: str = "", log: tuple[str, ...] = ()) -> Action:
    """Record that the run has ended, and why."""
    status = view.memory.run
    assert status is not None
    return Record(replace(view.memory, run=replace(status, state=state, ended=now, error=error, log=log)))


def go_on(view: View, status: RunStatus, now: float, **changes: Any) -> Action:
    """Record the run with these changes; the phase begins now."""
    return Record(replace(view.memory, run=replace(status, since=now, **changes)))


def step_done(view: View, status: RunStatus, now: float, result: dict[str, Any]) -> Action:
    """Record that the present step is done; the next one begins."""
    results = (*status.results, result)
    return go_on(
        view, status, now, step=status.step + 1, phase=Phase.PREPARING, attempt=1, results=results, error=""
    )


def try_again(view: View, status: RunStatus, now: float, why: str) -> Action:
    """Try the step once more from power-on, or give up with the reason."""
    if status.attempt >= ATTEMPTS:
        return end(view, RunState.FAILED, now, f"{why}, {status.attempt} times")
    return go_on(
        view,
        status,
        now,
        phase=Phase.POWERING,
        attempt=status.attempt + 1,
        boot=None,
        done=0,
        total=0,
        error=why,
    )


def began(status: RunStatus, seen: Seen) -> float:
    """Return when the phase began under this keeper's eyes, from where its deadline counts.

    While no keeper lived, the agent could not be heard, and its silence says nothing of the board.
    """
    return max(status.since, seen.since)
