"""What a keeper looks at, and what it may do: the nouns of its decision, and questions about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hostler.model.boot import BootTarget
from hostler.model.netboot_order import DoneSignal, NetbootOrder, netboot_order
from hostler.model.plan import StepKind, StepOrder, needs_agent
from hostler.model.power import UNSEEN, PowerReading, PowerState
from hostler.model.power_match import UNCOMPARED, Match
from hostler.model.run import Phase, RunStatus
from hostler.model.seam import BootRecord, Desired


@dataclass(frozen=True, slots=True)
class Report:
    """The last word of an agent, or of another system, on one step: its result, or why it failed.

    Attributes:
        cause: Why it failed, as one word out of ``model/cause.py``; empty: it gave none.
    """

    run: str
    step: int
    result: dict[str, Any] | None = None
    error: str = ""
    log: tuple[str, ...] = ()
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a keeper must not forget when it is killed.

    Attributes:
        run: The run it works on or finished last.
        boot: The present or last boot, with its token.
        boots: How many boots the board ever had.
        cycles: Power cycles done.
        cycling: True between the off and the on of a cycle asked for by a person.
        report: The last report.
        mismatch: Unix time since when the supply reads other than wanted, once that was told; else None.
        taking: Id of the boot whose takeover is under way, or None: it ends with the keeper, half done.
        rounds: How often the present boot's system, other than the agent, was handed out whole.
    """

    run: RunStatus | None = None
    boot: BootRecord | None = None
    boots: int = 0
    cycles: int = 0
    cycling: bool = False
    report: Report | None = None
    mismatch: float | None = None
    taking: str | None = None
    rounds: int = 0


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
        agent_waited: Unix time it last reported that it waits for its turn, or 0.
        agent_trouble: What it last complained of on the console, or empty.
        done: Bytes it reported done in that phase.
        total: Bytes it reported to be done in that phase.
        handed: Id of the boot whose system was handed out whole; None again when its board came back.
        returned: Id of the boot whose board's firmware asked again after that.
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
    agent_waited: float = 0.0
    agent_trouble: str = ""
    done: int = 0
    total: int = 0
    handed: str | None = None
    returned: str | None = None
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
    """Mint the id and token of a boot that is about to begin; ``purpose`` as in ``BootRecord``."""

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


def agent_step(view: View) -> tuple[RunStatus, StepOrder] | None:
    """Return the run and step the agent of the present boot is to work on now, if any."""
    order, status = view.desired.run, view.memory.run
    if order is None or status is None or status.id != order.id or status.state.ended or order.cancelled:
        return None
    if status.step >= len(order.steps) or status.phase not in (Phase.EXECUTING, Phase.VERIFYING):
        return None
    step = order.steps[status.step]
    return (status, step) if needs_agent(step) else None


def netboot_step(view: View) -> tuple[RunStatus, NetbootOrder] | None:
    """Return the run and the system that the present boot brings up instead of the agent, if it does."""
    order, status = view.desired.run, view.memory.run
    if order is None or status is None or status.id != order.id or status.state.ended or order.cancelled:
        return None
    if status.step >= len(order.steps) or status.phase not in (Phase.BOOTING, Phase.EXECUTING):
        return None
    system = netboot_order(order.steps[status.step])
    return (status, system) if system is not None else None


def awaited_pattern(view: View) -> str:
    """Return the done-signal that is awaited on the console, a regular expression; empty: none is."""
    if (present := netboot_step(view)) is not None:
        system = present[1]
        return system.pattern if system.done is DoneSignal.CONSOLE else ""
    order, status = view.desired.run, view.memory.run
    if order is None or status is None or status.id != order.id or status.state.ended:
        return ""
    if status.step >= len(order.steps) or status.phase is not Phase.BOOTING:
        return ""
    step = order.steps[status.step]
    return str(step.params.get("pattern", "")) if step.kind is StepKind.BOOT else ""


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


def working(view: View) -> bool:
    """Tell whether a run has the board."""
    run = view.memory.run
    return (run is not None and not run.state.ended) or (
        view.desired.run is not None and (run is None or run.id != view.desired.run.id)
    )
