"""What a keeper does next with a step, by the phase the step is in."""

from __future__ import annotations

from dataclasses import replace

from hostler.model import keeper_netboot as netboot
from hostler.model.keeper_outcome import began, end, go_on, step_done, try_again
from hostler.model.keeper_power import direct, misdirected, supplied, switch, undirected
from hostler.model.keeper_view import Action, Record, Seen, StartBoot, View, Wait, reboot_asked
from hostler.model.netboot_order import netboot_order
from hostler.model.plan import StepKind, StepOrder, needs_agent
from hostler.model.platform import PLATFORMS
from hostler.model.power import PowerState
from hostler.model.run import Phase, RunState, RunStatus

STALL_SECONDS = 45.0
"""An agent speaks at least every second; after this long without a word it is gone."""


POWERING_SECONDS = 90.0
"""Longest time switching may take, with the equipment's queue and minimum off time."""


WATTS_SECONDS = 3600.0
"""Longest time a run waits for its board to be switched on because the equipment has no watts for it. Others
go off when their runs or claims end; a run that waited this long is told so rather than kept for ever."""


REBOOT_SECONDS = 15.0
"""How long an agent that was told to reboot may take to say that it does; then power is pulled."""


AGENT_FRESH_SECONDS = 10.0
"""An agent heard within this time is alive and can be given the next step without a new boot."""


def _preparing(view: View, status: RunStatus, _step: StepOrder, now: float) -> Action:
    if view.seen.missing:
        return end(view, RunState.FAILED, now, f"missing on this rack: {', '.join(view.seen.missing)}")
    if not view.desired.board.power:
        return end(view, RunState.FAILED, now, f'board "{view.desired.board.name}" has no power binding')
    return go_on(view, status, now, phase=Phase.POWERING, boot=None, attempt=1, done=0, total=0)


def _powering(view: View, status: RunStatus, step: StepOrder, now: float) -> Action:
    """Bring the board to the start of a boot that serves this step."""
    memory, seen, boot = view.memory, view.seen, view.memory.boot
    if needs_agent(step) and status.attempt == 1 and boot is not None and _agent_alive(view, now):
        return go_on(view, status, now, phase=Phase.EXECUTING, boot=boot.id)
    if seen.waits and now > seen.waits_since + WATTS_SECONDS:
        return end(view, RunState.FAILED, now, f"{seen.waits}, for longer than {WATTS_SECONDS / 60:g} min")
    wait = netboot.restart_due(view, status)
    allowed = max(began(status, seen) + wait, seen.waited) + POWERING_SECONDS
    if not seen.waits and now > allowed:
        why = seen.power_error or f"the supply reads {seen.power.state} ({seen.power.detail})"
        return try_again(
            view, status, now, f"power could not be switched within {POWERING_SECONDS:g} s: {why}"
        )
    purpose = _purpose(step)
    if boot is None or boot.id != status.boot:
        if reboot_asked(view) and _agent_alive(view, now, REBOOT_SECONDS):
            report = memory.report
            if report is not None and (report.run, report.step, report.error) == (status.id, status.step, ""):
                return StartBoot(purpose)
            if now < status.since + REBOOT_SECONDS:
                return Wait(status.since + REBOOT_SECONDS)
        if wait and supplied(seen) is not PowerState.OFF:
            if netboot.came_back(view) and (purpose == "local" or not view.desired.board.bootctl):
                return StartBoot(purpose)
            if not netboot.came_back(view) and now < began(status, seen) + wait:
                return Wait(began(status, seen) + wait)
        # Off is always sent, even when the supply reads off: a port that is enabled with nothing behind it
        # reads off too, and enabling it again would do nothing.
        if supplied(seen) is not PowerState.OFF or seen.sent is not PowerState.OFF:
            return switch(view, PowerState.OFF, now)
        return StartBoot(purpose)
    if undirected(view):
        return direct(view, status.attempt)
    if why := misdirected(view):
        return try_again(view, status, now, why)
    if supplied(seen) is not PowerState.ON:
        return switch(view, PowerState.ON, now)
    booting = replace(status, phase=Phase.BOOTING, since=now)
    return Record(replace(memory, run=booting, boot=replace(boot, powered=True)))


def _purpose(step: StepOrder) -> str:
    if needs_agent(step):
        return "agent"
    return "network" if netboot_order(step) is not None else "local"


def _booting(view: View, status: RunStatus, step: StepOrder, now: float) -> Action:
    seen, begun = view.seen, began(status, view.seen)
    order = netboot_order(step)
    if order is not None and (ended := netboot.signalled(view, status, order, now)) is not None:
        return ended
    if seen.power.state is PowerState.OFF:
        return try_again(view, status, now, "the board lost power while it booted")
    if step.kind is StepKind.BOOT:
        if seen.matched_boot == status.boot and status.boot is not None:
            return step_done(
                view, status, now, {"boot": status.boot, "seconds": round(now - status.since, 1)}
            )
        seconds = float(step.params.get("seconds", 600.0))
        if now > begun + seconds:
            pattern = step.params.get("pattern", "")
            return try_again(
                view, status, now, f'the console did not show "{pattern}" within {seconds:g} s of boot'
            )
        return Wait(begun + seconds)
    if seen.agent_boot == status.boot and status.boot is not None:
        return go_on(view, status, now, phase=Phase.EXECUTING)
    if why := misdirected(view):
        return try_again(view, status, now, why)
    if view.memory.taking == status.boot and seen.directed != status.boot:
        # The keeper was killed while it typed: the board waits at a prompt, or boots what it likes.
        return go_on(view, status, now, phase=Phase.POWERING, boot=None)
    if order is not None:
        return netboot.booting(view, status, step, order, now)
    seconds = PLATFORMS[view.desired.platform].boot_seconds
    if now > begun + seconds:
        return try_again(
            view, status, now, f"the agent did not report within {seconds:g} s of power-on{_trouble(seen)}"
        )
    return Wait(begun + seconds)


def _executing(view: View, status: RunStatus, step: StepOrder, now: float) -> Action:
    if (order := netboot_order(step)) is not None:
        return netboot.running(view, status, step, order, now)
    report, seen = view.memory.report, view.seen
    if report is not None and (report.run, report.step) == (status.id, status.step):
        if report.result is not None:
            return step_done(view, status, now, report.result)
        return end(view, RunState.FAILED, now, report.error, report.log)
    if seen.power.state is PowerState.OFF:
        return try_again(view, status, now, f"the board lost power during step {step.kind}")
    since = max(status.since, seen.agent_waited)  # who waits for its turn is not slow
    if now > since + step.seconds:
        return end(view, RunState.TIMED_OUT, now, f"step {step.kind} took longer than {step.seconds:g} s")
    heard = max(began(status, seen), seen.agent_at if seen.agent_boot == status.boot else 0.0)
    if now > heard + STALL_SECONDS:
        return try_again(
            view,
            status,
            now,
            f"the agent went silent for {STALL_SECONDS:g} s during step {step.kind}{_trouble(seen)}",
        )
    return Wait(min(heard + STALL_SECONDS, since + step.seconds))


def _trouble(seen: Seen) -> str:
    return f" (on the console it said: {seen.agent_trouble})" if seen.agent_trouble else ""


def _agent_alive(view: View, now: float, within: float = AGENT_FRESH_SECONDS) -> bool:
    boot, seen = view.memory.boot, view.seen
    return (
        boot is not None
        and boot.purpose == "agent"
        and seen.agent_boot == boot.id
        and now <= seen.agent_at + within
        and supplied(seen) is PowerState.ON
    )


PHASES = {
    Phase.PREPARING: _preparing,
    Phase.POWERING: _powering,
    Phase.BOOTING: _booting,
    Phase.WAITING: _executing,
    Phase.EXECUTING: _executing,
    Phase.VERIFYING: _executing,
}
"""What to do next, by the phase of the present step."""
