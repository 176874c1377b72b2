"""What a keeper does with a step whose system comes over the network and is not the agent.

The board's firmware fetches it: the step is *booting*. When it has been handed out whole, the step is
*executing*, until its done-signal. A board that asks the network again before that has restarted: it may be
given the system once more, and no third time, so that nothing is installed again and again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.model.keeper_outcome import end, go_on, step_done, try_again
from hostler.model.keeper_view import Action, Record, View, Wait
from hostler.model.netboot_order import DoneSignal, NetbootOrder, netboot_order
from hostler.model.plan import StepKind, StepOrder
from hostler.model.platform import PLATFORMS
from hostler.model.power import PowerState
from hostler.model.run import Phase, RunState

if TYPE_CHECKING:
    from hostler.model.run import RunStatus

ROUNDS = 2
"""How often a boot's system is handed out. A second time is for an installer that restarts once in between,
or one that died early; a third would most likely end as the second did."""

RESTART_SECONDS = 180.0
"""How long an installer that has said it is done may take to restart by itself. It says so before its last
writes are on the disk, and it unmounts then; power that is pulled at once would cost them."""


def booting(view: View, status: RunStatus, step: StepOrder, order: NetbootOrder, now: float) -> Action:
    """Wait until the board's firmware has fetched the system."""
    memory, seen = view.memory, view.seen
    if seen.handed == status.boot and status.boot is not None:
        running_now = replace(status, phase=Phase.EXECUTING, since=now)
        return Record(replace(memory, run=running_now, rounds=memory.rounds + 1))
    seconds = PLATFORMS[view.desired.platform].boot_seconds
    fetched_by = max(status.since, seen.since) + seconds
    if now > fetched_by:
        since = "power-on" if not memory.rounds else "its restart"
        return try_again(
            view, status, now, f'the board did not fetch "{order.image}" within {seconds:g} s of {since}'
        )
    return _late(view, status, step, order, now) or Wait(min(fetched_by, _deadline(view, order)))


def running(view: View, status: RunStatus, step: StepOrder, order: NetbootOrder, now: float) -> Action:
    """Wait for the done-signal of a system that was handed out."""
    memory, seen = view.memory, view.seen
    if (ended := signalled(view, status, order, now)) is not None:
        return ended
    if seen.power.state is PowerState.OFF:
        return try_again(view, status, now, f'the board lost power while "{order.image}" ran')
    if came_back(view):
        if order.done is DoneSignal.SECOND_BOOT:
            return step_done(view, status, now, _result(view, order, now))
        if memory.rounds >= ROUNDS:
            return try_again(
                view,
                status,
                now,
                f'the board was given "{order.image}" {memory.rounds} times and asked for it again without '
                f"{_expected(order)}",
            )
        return go_on(view, status, now, phase=Phase.BOOTING)
    return _late(view, status, step, order, now) or Wait(_deadline(view, order))


def signalled(view: View, status: RunStatus, order: NetbootOrder, now: float) -> Action | None:
    """Return what follows from the done-signal or from word of a failure, if either came."""
    report, seen = view.memory.report, view.seen
    if report is not None and (report.run, report.step) == (status.id, status.step):
        if report.result is None:
            return end(view, RunState.FAILED, now, report.error, report.log)
        if order.done is DoneSignal.CALLBACK:
            return step_done(view, status, now, _result(view, order, now))
    matched = seen.matched_boot == status.boot and status.boot is not None
    if matched and order.done is DoneSignal.CONSOLE:
        return step_done(view, status, now, _result(view, order, now))
    return None


def came_back(view: View) -> bool:
    """Tell whether the board's firmware asked the network again after the boot's system was handed out."""
    boot = view.memory.boot
    return boot is not None and view.seen.returned == boot.id


def restart_due(view: View, status: RunStatus) -> float:
    """Return how many seconds the present system may take to restart by itself; 0: nothing waits for that.

    Only an installer that has just said it is done is waited for, and only in the first attempt of the step
    that follows it.
    """
    order = view.desired.run
    if order is None or status.step == 0 or status.attempt > 1:
        return 0.0
    before = order.steps[status.step - 1]
    installed = before.kind is StepKind.INSTALL and netboot_order(before) is not None
    return RESTART_SECONDS if installed else 0.0


def _late(view: View, status: RunStatus, step: StepOrder, order: NetbootOrder, now: float) -> Action | None:
    if now <= _deadline(view, order):
        return None
    why = f'"{order.image}" went on for {order.seconds:g} s without {_expected(order)}'
    if step.kind is StepKind.INSTALL:  # what took so long would take as long again
        return end(view, RunState.TIMED_OUT, now, why)
    return try_again(view, status, now, why)


def _deadline(view: View, order: NetbootOrder) -> float:
    """Return until when the done-signal is awaited: while no keeper lived, none could be heard."""
    boot = view.memory.boot
    return max(boot.started if boot is not None else 0.0, view.seen.since) + order.seconds


def _expected(order: NetbootOrder) -> str:
    match order.done:
        case DoneSignal.CONSOLE:
            return f'"{order.pattern}" on the console'
        case DoneSignal.CALLBACK:
            return "saying that it is done"
        case DoneSignal.SECOND_BOOT:
            return "restarting"


def _result(view: View, order: NetbootOrder, now: float) -> dict[str, Any]:
    status, boot, report = view.memory.run, view.memory.boot, view.memory.report
    assert status is not None
    assert boot is not None
    said: dict[str, Any] = {}
    if report is not None and (report.run, report.step) == (status.id, status.step):
        said = report.result or {}
    return {"image": order.image, "boot": boot.id, "seconds": round(now - boot.started, 1), **said}
