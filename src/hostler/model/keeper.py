"""What a keeper does next with its board: one pure function over what is wanted, what was done, what is seen.

The shell around it (``rack/keeper.py``) calls ``decide`` again after every action and whenever something
changed or the time it was told has come. Every action may be done twice without harm, so a keeper that
was killed starts from its stored state and carries on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hostler.model.boot import BootTarget
from hostler.model.plan import StepKind, StepOrder, needs_agent
from hostler.model.platform import PLATFORMS
from hostler.model.power import UNSEEN, PowerReading, PowerState
from hostler.model.power_match import SETTLE_SECONDS, UNCOMPARED, Match, Wanted, agrees
from hostler.model.run import Phase, RunOrder, RunState, RunStatus
from hostler.model.seam import BootRecord, Desired

ATTEMPTS = 2
"""Tries of a step whose board went silent: one retry, as a second failure is not bad luck."""

STALL_SECONDS = 45.0
"""An agent speaks at least every second; after this long without a word it is gone."""

POWERING_SECONDS = 90.0
"""Longest time switching may take, with the equipment's queue and minimum off time."""

WATTS_SECONDS = 3600.0
"""Longest time a run waits for its board to be switched on because the equipment has no watts for it. Others
go off when their runs or claims end; a run that waited this long is told so rather than kept for ever."""

POWER_RETRY_SECONDS = 10.0
"""Pause after equipment failed to switch, before it is asked again."""

REBOOT_SECONDS = 15.0
"""How long an agent that was told to reboot may take to say that it does; then power is pulled."""

AGENT_FRESH_SECONDS = 10.0
"""An agent heard within this time is alive and can be given the next step without a new boot."""


@dataclass(frozen=True, slots=True)
class Report:
    """An agent's last word on one step: its result, or why it failed."""

    run: str
    step: int
    result: dict[str, Any] | None = None
    error: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What a keeper must not forget when it is killed.

    Attributes:
        run: The run it works on or finished last.
        boot: The present or last boot, with its token.
        boots: How many boots the board ever had.
        cycles: Power cycles done.
        cycling: True between the off and the on of a cycle asked for by a person.
        report: The agent's last report.
        mismatch: Unix time since when the supply reads other than wanted, once that was told; else None.
        taking: Id of the boot whose takeover is under way, or None: it ends with the keeper, half done.
    """

    run: RunStatus | None = None
    boot: BootRecord | None = None
    boots: int = 0
    cycles: int = 0
    cycling: bool = False
    report: Report | None = None
    mismatch: float | None = None
    taking: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the keeper knows only from looking; lost and looked up again after a restart.

    Attributes:
        since: Unix time the keeper began to look: nothing is late that nobody could have seen.
        looked: Whether the supply was read, or could not be, since the keeper began.
        power: Last reading of the board's supply.
        sent: What this keeper switched it to last, or None: nothing yet.
        power_tried: Unix time of the last failed attempt to switch, or 0.
        power_error: Why it failed; empty when the last attempt worked.
        directed: Id of the boot for which the boot controls were asked, before it got power.
        direct_error: Why they could not bring that boot to the network, or empty.
        waits: What switching on waits for, or empty: watts, or its turn.
        waits_since: Unix time that wait began.
        waited: Unix time the last such wait ended, or 0.
        match: How the readings compare with what is wanted.
        agent_boot: Id of the boot whose agent spoke last.
        agent_at: Unix time it spoke.
        agent_phase: The phase it reported.
        agent_trouble: What it last complained of on the console, or empty.
        done: Bytes it reported done in that phase.
        total: Bytes it reported to be done in that phase.
        matched_boot: Id of the boot in which the awaited console pattern was seen.
        missing: Artefacts the present step needs that are not on this rack.
    """

    since: float = 0.0
    looked: bool = False
    power: PowerReading = UNSEEN
    sent: PowerState | None = None
    power_tried: float = 0.0
    power_error: str = ""
    directed: str | None = None
    direct_error: str = ""
    waits: str = ""
    waits_since: float = 0.0
    waited: float = 0.0
    match: Match = UNCOMPARED
    agent_boot: str | None = None
    agent_at: float = 0.0
    agent_phase: Phase = Phase.EXECUTING
    agent_trouble: str = ""
    done: int = 0
    total: int = 0
    matched_boot: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """Everything ``decide`` looks at."""

    desired: Desired
    memory: Memory
    seen: Seen = field(default_factory=Seen)


@dataclass(frozen=True, slots=True)
class SetPower:
    """Switch the board on or off and read back; the equipment's own queue keeps its minimum off time."""

    state: PowerState


@dataclass(frozen=True, slots=True)
class StartBoot:
    """Mint the id and token of a boot that is about to begin; ``purpose`` is ``agent`` or ``local``."""

    purpose: str


@dataclass(frozen=True, slots=True)
class DirectBoot:
    """Have the board's boot controls see to it that the boot that is about to begin comes from there.

    Attributes:
        target: From where.
        attempt: Counts the tries of the step from 1; each begins with another of the controls.
    """

    target: BootTarget
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Record:
    """Store this as the keeper's memory; nothing else happens."""

    memory: Memory


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something changes, or until this Unix time (None: no time)."""

    until: float | None


Action = SetPower | StartBoot | DirectBoot | Record | Wait


def decide(view: View, now: float) -> Action:
    """Return the next thing to do with a board."""
    order, status = view.desired.run, view.memory.run
    if order is not None and (status is None or status.id != order.id):
        return _begin(view, order, now)
    if status is None or status.state.ended:
        return _idle(view, now)
    if order is None:
        return _end(view, RunState.CANCELLED, now, "withdrawn")
    if order.cancelled:
        return _end(view, RunState.CANCELLED, now, "cancelled")
    if status.step >= len(order.steps):
        return _end(view, RunState.SUCCEEDED, now)
    return _PHASES[status.phase](view, status, order.steps[status.step], now)


def agent_step(view: View) -> tuple[RunStatus, StepOrder] | None:
    """Return the run and step the agent of the present boot is to work on now, if any."""
    order, status = view.desired.run, view.memory.run
    if order is None or status is None or status.id != order.id or status.state.ended or order.cancelled:
        return None
    if status.step >= len(order.steps) or status.phase not in (Phase.EXECUTING, Phase.VERIFYING):
        return None
    step = order.steps[status.step]
    return (status, step) if needs_agent(step) else None


def reboot_asked(view: View) -> bool:
    """Tell whether the present agent is to reboot, because the next step needs another boot."""
    status = view.memory.run
    if status is None or status.state.ended or status.phase is not Phase.POWERING or view.desired.run is None:
        return False
    boot = view.memory.boot
    return (
        status.step < len(view.desired.run.steps)
        and view.desired.run.steps[status.step].kind is StepKind.BOOT
        and status.attempt == 1
        and boot is not None
        and boot.purpose == "agent"
    )


def _begin(view: View, order: RunOrder, now: float) -> Action:
    status = RunStatus(order.id, RunState.RUNNING, since=now, started=now)
    if order.cancelled:
        status = replace(status, state=RunState.CANCELLED, ended=now, error="cancelled")
    return Record(replace(view.memory, run=status, report=None, cycling=False, mismatch=None))


def _end(view: View, state: RunState, now: float, error: str = "", log: tuple[str, ...] = ()) -> Action:
    status = view.memory.run
    assert status is not None
    return Record(replace(view.memory, run=replace(status, state=state, ended=now, error=error, log=log)))


def _next(view: View, status: RunStatus, now: float, **changes: Any) -> Action:
    """Record the run with these changes; the phase begins now."""
    return Record(replace(view.memory, run=replace(status, since=now, **changes)))


def _idle(view: View, now: float) -> Action:
    """Keep power as wanted, and do the cycles that were asked for."""
    memory, seen = view.memory, view.seen
    if not view.desired.board.power or not seen.looked:
        return Wait(None)  # a restart is no reason to switch what may be as it should
    if memory.cycling:
        off = _power(seen) is PowerState.OFF and seen.sent is PowerState.OFF and not seen.power.partly
        if off or seen.match.given_up:
            return Record(replace(memory, cycling=False, cycles=view.desired.cycles))
        if now < seen.match.next_mend:
            return Wait(seen.match.next_mend)
        return _switch(view, PowerState.OFF, now)
    if memory.cycles < view.desired.cycles:
        return Record(replace(memory, cycling=True))
    if _as_wanted(view):
        right = seen.match.right
        if memory.mismatch is None or right is None:
            return Wait(None)
        if now < right + SETTLE_SECONDS:  # one that flaps does not match each time it comes by
            return Wait(right + SETTLE_SECONDS)
        return Record(replace(memory, mismatch=None))
    settled = seen.match.settled if memory.mismatch is None else None
    if settled is not None and now >= settled:
        return Record(replace(memory, mismatch=seen.match.since))
    action: Action = _mend(view, now)
    if isinstance(action, Wait) and settled is not None:
        return Wait(settled if action.until is None else min(action.until, settled))
    return action


def _mend(view: View, now: float) -> Action:
    """Switch the supply to what is wanted, but not for ever where that does not last."""
    match, boot = view.seen.match, view.memory.boot
    if match.given_up:
        return Wait(None)
    if now < match.next_mend:
        return Wait(match.next_mend)
    # A supply that nobody can tell of may be on: switching it on again is no new boot of a board that runs.
    off = PowerState.OFF in (view.seen.power.state, view.seen.sent)
    fresh = boot is not None and not boot.powered and boot.purpose == "local"
    begun = boot is not None and boot.powered and not off
    if view.desired.power is PowerState.ON and not (fresh or begun):
        return StartBoot("local")
    if view.desired.power is PowerState.ON and _undirected(view):
        return _direct(view)
    return _switch(view, view.desired.power, now)


def _undirected(view: View) -> bool:
    """Tell whether the boot controls are still to be asked for the boot that is about to begin."""
    boot = view.memory.boot
    if boot is None or boot.powered or not view.desired.board.bootctl:
        return False
    return view.seen.directed != boot.id


def _direct(view: View, attempt: int = 1) -> DirectBoot:
    boot = view.memory.boot
    to_agent = boot is not None and boot.purpose == "agent"
    return DirectBoot(BootTarget.NETWORK if to_agent else BootTarget.DISK, attempt)


def _misdirected(view: View) -> str:
    """Return why the present boot will not come from the network, or nothing."""
    boot, seen = view.memory.boot, view.seen
    if boot is None or seen.directed != boot.id or not seen.direct_error:
        return ""
    return f"the board could not be made to boot from the network: {seen.direct_error}"


def _as_wanted(view: View) -> bool:
    """Tell whether the supply is as it should be, as far as anybody can know."""
    if view.seen.power.state is PowerState.UNKNOWN:
        return view.seen.sent is view.desired.power
    return agrees(view.seen.power, view.desired.power)


def looked(view: View, now: float) -> View:
    """Return the view with its readings compared with what is wanted; called before every decision."""
    desired, memory, seen = view.desired, view.memory, view.seen
    wanted = Wanted(desired.power, desired.asked, desired.cycles, memory.run.id if memory.run else None)
    busy = memory.cycling or bool(seen.waits) or working(view)
    match = seen.match.looked(wanted, seen.power, now, busy=busy)
    return view if match == seen.match else replace(view, seen=replace(seen, match=match))


def working(view: View) -> bool:
    """Tell whether a run has the board."""
    run = view.memory.run
    return (run is not None and not run.state.ended) or (
        view.desired.run is not None and (run is None or run.id != view.desired.run.id)
    )


def _preparing(view: View, status: RunStatus, _step: StepOrder, now: float) -> Action:
    if view.seen.missing:
        return _end(view, RunState.FAILED, now, f"missing on this rack: {', '.join(view.seen.missing)}")
    if not view.desired.board.power:
        return _end(view, RunState.FAILED, now, f'board "{view.desired.board.name}" has no power binding')
    return _next(view, status, now, phase=Phase.POWERING, boot=None, attempt=1, done=0, total=0)


def _powering(view: View, status: RunStatus, step: StepOrder, now: float) -> Action:
    """Bring the board to the start of a boot that serves this step."""
    memory, seen, boot = view.memory, view.seen, view.memory.boot
    if needs_agent(step) and status.attempt == 1 and boot is not None and _agent_alive(view, now):
        return _next(view, status, now, phase=Phase.EXECUTING, boot=boot.id)
    if seen.waits and now > seen.waits_since + WATTS_SECONDS:
        return _end(view, RunState.FAILED, now, f"{seen.waits}, for longer than {WATTS_SECONDS / 60:g} min")
    if not seen.waits and now > max(_begun(status, seen), seen.waited) + POWERING_SECONDS:
        why = seen.power_error or f"the supply reads {seen.power.state} ({seen.power.detail})"
        return _again(view, status, now, f"power could not be switched within {POWERING_SECONDS:g} s: {why}")
    purpose = "agent" if needs_agent(step) else "local"
    if boot is None or boot.id != status.boot:
        if reboot_asked(view) and _agent_alive(view, now, REBOOT_SECONDS):
            report = memory.report
            if report is not None and (report.run, report.step, report.error) == (status.id, status.step, ""):
                return StartBoot(purpose)
            if now < status.since + REBOOT_SECONDS:
                return Wait(status.since + REBOOT_SECONDS)
        # Off is always sent, even when the supply reads off: a port that is enabled with nothing behind it
        # reads off too, and enabling it again would do nothing.
        if _power(seen) is not PowerState.OFF or seen.sent is not PowerState.OFF:
            return _switch(view, PowerState.OFF, now)
        return StartBoot(purpose)
    if _undirected(view):
        return _direct(view, status.attempt)
    if misdirected := _misdirected(view):
        return _again(view, status, now, misdirected)
    if _power(seen) is not PowerState.ON:
        return _switch(view, PowerState.ON, now)
    booting = replace(status, phase=Phase.BOOTING, since=now)
    return Record(replace(memory, run=booting, boot=replace(boot, powered=True)))


def _power(seen: Seen) -> PowerState:
    """Return what the supply is: what it reads, or what was sent where it cannot be read."""
    if seen.power.state is PowerState.UNKNOWN and seen.sent is not None:
        return seen.sent
    return seen.power.state


def _switch(view: View, state: PowerState, now: float) -> Action:
    if view.seen.power_error and now < view.seen.power_tried + POWER_RETRY_SECONDS:
        return Wait(view.seen.power_tried + POWER_RETRY_SECONDS)
    return SetPower(state)


def _booting(view: View, status: RunStatus, step: StepOrder, now: float) -> Action:
    seen, begun = view.seen, _begun(status, view.seen)
    if seen.power.state is PowerState.OFF:
        return _again(view, status, now, "the board lost power while it booted")
    if step.kind is StepKind.BOOT:
        if seen.matched_boot == status.boot and status.boot is not None:
            return _done(view, status, now, {"boot": status.boot, "seconds": round(now - status.since, 1)})
        seconds = float(step.params.get("seconds", 600.0))
        if now > begun + seconds:
            pattern = step.params.get("pattern", "")
            return _again(
                view, status, now, f'the console did not show "{pattern}" within {seconds:g} s of boot'
            )
        return Wait(begun + seconds)
    if seen.agent_boot == status.boot and status.boot is not None:
        return _next(view, status, now, phase=Phase.EXECUTING)
    if misdirected := _misdirected(view):
        return _again(view, status, now, misdirected)
    if view.memory.taking == status.boot and seen.directed != status.boot:
        # The keeper was killed while it typed: the board waits at a prompt, or boots what it likes.
        return _next(view, status, now, phase=Phase.POWERING, boot=None)
    seconds = PLATFORMS[view.desired.platform].boot_seconds
    if now > begun + seconds:
        return _again(
            view, status, now, f"the agent did not report within {seconds:g} s of power-on{_trouble(seen)}"
        )
    return Wait(begun + seconds)


def _executing(view: View, status: RunStatus, step: StepOrder, now: float) -> Action:
    report, seen = view.memory.report, view.seen
    if report is not None and (report.run, report.step) == (status.id, status.step):
        if report.result is not None:
            return _done(view, status, now, report.result)
        return _end(view, RunState.FAILED, now, report.error, report.log)
    if seen.power.state is PowerState.OFF:
        return _again(view, status, now, f"the board lost power during step {step.kind}")
    if now > status.since + step.seconds:
        return _end(view, RunState.TIMED_OUT, now, f"step {step.kind} took longer than {step.seconds:g} s")
    heard = max(_begun(status, seen), seen.agent_at if seen.agent_boot == status.boot else 0.0)
    if now > heard + STALL_SECONDS:
        return _again(
            view,
            status,
            now,
            f"the agent went silent for {STALL_SECONDS:g} s during step {step.kind}{_trouble(seen)}",
        )
    return Wait(min(heard + STALL_SECONDS, status.since + step.seconds))


def _done(view: View, status: RunStatus, now: float, result: dict[str, Any]) -> Action:
    results = (*status.results, result)
    return _next(
        view, status, now, step=status.step + 1, phase=Phase.PREPARING, attempt=1, results=results, error=""
    )


def _again(view: View, status: RunStatus, now: float, why: str) -> Action:
    """Try the step once more from power-on, or give up with the reason."""
    if status.attempt >= ATTEMPTS:
        return _end(view, RunState.FAILED, now, f"{why}, {status.attempt} times")
    return _next(
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


def _begun(status: RunStatus, seen: Seen) -> float:
    """Return when the phase began under this keeper's eyes, from where its deadline counts.

    While no keeper lived, the agent could not be heard, and its silence says nothing of the board.
    """
    return max(status.since, seen.since)


def _trouble(seen: Seen) -> str:
    return f" (on the console it said: {seen.agent_trouble})" if seen.agent_trouble else ""


def _agent_alive(view: View, now: float, within: float = AGENT_FRESH_SECONDS) -> bool:
    boot, seen = view.memory.boot, view.seen
    return (
        boot is not None
        and boot.purpose == "agent"
        and seen.agent_boot == boot.id
        and now <= seen.agent_at + within
        and _power(seen) is PowerState.ON
    )


_PHASES = {
    Phase.PREPARING: _preparing,
    Phase.POWERING: _powering,
    Phase.BOOTING: _booting,
    Phase.EXECUTING: _executing,
    Phase.VERIFYING: _executing,
}
