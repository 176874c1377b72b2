"""What a keeper does with its board's supply and boot controls: as wanted without a run, as needed in one."""

from __future__ import annotations

from dataclasses import replace

from hostler.model.boot import BootTarget
from hostler.model.keeper_view import Action, DirectBoot, Record, Seen, SetPower, StartBoot, View, Wait
from hostler.model.power import PowerState
from hostler.model.power_match import SETTLE_SECONDS, agrees

POWER_RETRY_SECONDS = 10.0
"""Pause after equipment failed to switch, before it is asked again."""


def idle(view: View, now: float) -> Action:
    """Keep power as wanted, and do the cycles that were asked for."""
    memory, seen = view.memory, view.seen
    if not view.desired.board.power or not seen.looked:
        return Wait(None)  # a restart is no reason to switch what may be as it should
    if memory.cycling:
        off = supplied(seen) is PowerState.OFF and seen.sent is PowerState.OFF and not seen.power.partly
        if off or seen.match.given_up:
            return Record(replace(memory, cycling=False, cycles=view.desired.cycles))
        if now < seen.match.next_mend:
            return Wait(seen.match.next_mend)
        return switch(view, PowerState.OFF, now)
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
    if view.desired.power is PowerState.ON and undirected(view):
        return direct(view)
    return switch(view, view.desired.power, now)


def undirected(view: View) -> bool:
    """Tell whether the boot controls are still to be asked for the boot that is about to begin."""
    boot = view.memory.boot
    if boot is None or boot.powered or not view.desired.board.bootctl:
        return False
    return view.seen.directed != boot.id


def direct(view: View, attempt: int = 1) -> DirectBoot:
    """Have the boot controls asked for the boot that is about to begin; ``attempt`` counts from 1."""
    boot = view.memory.boot
    local = boot is None or boot.purpose == "local"
    return DirectBoot(BootTarget.DISK if local else BootTarget.NETWORK, attempt)


def misdirected(view: View) -> str:
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


def supplied(seen: Seen) -> PowerState:
    """Return what the supply is: what it reads, or what was sent where it cannot be read."""
    if seen.power.state is PowerState.UNKNOWN and seen.sent is not None:
        return seen.sent
    return seen.power.state


def switch(view: View, state: PowerState, now: float) -> Action:
    """Switch the supply, a while after it last failed."""
    if view.seen.power_error and now < view.seen.power_tried + POWER_RETRY_SECONDS:
        return Wait(view.seen.power_tried + POWER_RETRY_SECONDS)
    return SetPower(state)
