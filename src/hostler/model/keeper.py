"""What a keeper does next with its board: one pure function over what is wanted, what was done, what is seen.

The shell around it (``rack/keeper.py``) calls ``decide`` again after every action and whenever something
changed or the time it was told has come. Every action may be done twice without harm, so a keeper that
was killed starts from its stored state and carries on.
"""

from __future__ import annotations

from dataclasses import replace

from hostler.model.keeper_outcome import end
from hostler.model.keeper_phases import PHASES
from hostler.model.keeper_power import idle
from hostler.model.keeper_view import Action, Record, View, working
from hostler.model.power_match import Wanted
from hostler.model.run import RunOrder, RunState, RunStatus


def decide(view: View, now: float) -> Action:
    """Return the next thing to do with a board."""
    order, status = view.desired.run, view.memory.run
    if order is not None and (status is None or status.id != order.id):
        return _begin(view, order, now)
    if status is None or status.state.ended:
        return idle(view, now)
    if order is None:
        return end(view, RunState.CANCELLED, now, "withdrawn")
    if order.cancelled:
        return end(view, RunState.CANCELLED, now, "cancelled")
    if status.step >= len(order.steps):
        return end(view, RunState.SUCCEEDED, now)
    return PHASES[status.phase](view, status, order.steps[status.step], now)


def _begin(view: View, order: RunOrder, now: float) -> Action:
    status = RunStatus(order.id, RunState.RUNNING, since=now, started=now)
    if order.cancelled:
        status = replace(status, state=RunState.CANCELLED, ended=now, error="cancelled")
    return Record(replace(view.memory, run=status, report=None, cycling=False, mismatch=None))


def looked(view: View, now: float) -> View:
    """Return the view with its readings compared with what is wanted; called before every decision."""
    desired, memory, seen = view.desired, view.memory, view.seen
    wanted = Wanted(desired.power, desired.asked, desired.cycles, memory.run.id if memory.run else None)
    busy = memory.cycling or bool(seen.waits) or working(view)
    match = seen.match.looked(wanted, seen.power, now, busy=busy)
    return view if match == seen.match else replace(view, seen=replace(seen, match=match))
