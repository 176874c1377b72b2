"""Boards: what racks see of them, their power, and their way back to clean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.hub import runs
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.records import BoardRecord, HealthVerdict, Principal, Purpose, RunRecord
from hostler.model.board import Board, Lifecycle, move
from hostler.model.claim import ClaimState
from hostler.model.disk_health import failing_disks
from hostler.model.disk_hint import with_removable_disks
from hostler.model.health import suspicious
from hostler.model.power import PowerState
from hostler.model.power_match import agrees
from hostler.model.run import RunState
from hostler.model.wipe import Effort, unproven

if TYPE_CHECKING:
    from hostler.hub.state import Draft
    from hostler.model.seam import Observed, Stranger

# From the verified wipe until the board must read off: switches take seconds, a queue behind one a minute.
POWER_OFF_SECONDS = 180.0


def observe(draft: Draft, observed: Observed) -> None:
    """Take over what a rack sees of a board."""
    record = draft.boards.get(observed.board)
    if record is None or record.lifecycle is Lifecycle.DISCOVERED:
        return
    _observe_facts(draft, record, observed)
    if observed.run is not None:
        ended = runs.observe(draft, draft.boards[observed.board], observed.run)
        if ended is not None:
            _doubt(draft, draft.boards[observed.board], ended)
    _observe_conflict(draft, draft.boards[observed.board], observed.conflict)
    finish_release(draft, draft.boards[observed.board])


def _doubt(draft: Draft, record: BoardRecord, run: RunRecord) -> None:
    """Remember a failed run that may be the board's fault, so that it is checked before long."""
    if run.purpose in (Purpose.USER, Purpose.DEPLOY) and suspicious(run.order, run.status):
        why = f'"{run.plan}" {_ended(run)}'
        draft.boards.put(record.name, replace(record, health=replace(record.health, suspect=why)))


def _observe_facts(draft: Draft, record: BoardRecord, observed: Observed) -> None:
    changed = record
    if observed.facts and observed.facts != record.facts:
        changed = replace(changed, facts=observed.facts)
        _tell_failing(draft, record, observed.facts)
    boot = replace(observed.boot, token="") if observed.boot else None  # it never leaves the rack
    if boot is not None and boot != record.boot:
        changed = replace(changed, boot=boot)
        old = record.boot if record.boot and record.boot.id == boot.id else None
        if old is None or (old.started, old.number) != (boot.started, boot.number):
            draft.boots.append((record.name, boot, record.claim))
    if changed is not record:
        draft.boards.put(record.name, changed)


def _tell_failing(draft: Draft, record: BoardRecord, facts: dict[str, Any]) -> None:
    """Tell of disks that are about to fail, once each and again when they fail in one more way."""
    before = failing_disks(record.facts)
    for disk, reasons in failing_disks(facts).items():
        if set(reasons) - set(before.get(disk, ())):
            text = f'board "{record.name}": disk {disk}: {"; ".join(reasons)}'
            draft.event(
                "board.disk-failing", text, board=record.name, claim=record.claim,
                data={"disk": disk, "reasons": list(reasons)},
            )  # fmt: skip


def _observe_conflict(draft: Draft, record: BoardRecord, conflict: str) -> None:
    if conflict == record.conflict:
        return
    record = replace(record, conflict=conflict)
    draft.boards.put(record.name, record)
    if not conflict:
        return
    # A holder's work is not taken away; the board is not given to the next one, though: see finish_release.
    draft.event("board.conflict", conflict, board=record.name, claim=record.claim)
    if record.lifecycle is Lifecycle.AVAILABLE:
        quarantine(draft, record, conflict)


def give_back(draft: Draft, record: BoardRecord, principal: Principal) -> None:
    """Send a board through RELEASING: its run is called off, it is wiped and powered off."""
    runs.supersede(draft, record, "the board was given back")
    lifecycle = move(record.name, record.lifecycle, Lifecycle.RELEASING)
    record = replace(record, lifecycle=lifecycle, reason="", power=PowerState.OFF)
    draft.boards.put(record.name, record)
    if absent := runs.no_agent(draft, record):
        quarantine(
            draft,
            record,
            f"it cannot be wiped: {absent}, and then: hostler recover {record.name}",
        )
        return
    wipe = (runs.wipe_order(draft, record),)
    runs.begin(draft, record, "wipe", wipe, Purpose.RELEASE, principal, PowerState.OFF)


def _unproven(run: RunRecord, record: BoardRecord) -> str:
    """Tell what a board's wipe leaves open; empty when all of the board is clean."""
    removable = any(order.params.get("removable") is True for order in run.order.steps)
    facts = with_removable_disks(record.facts) if removable else record.facts
    efforts = [Effort(order.params["effort"]) for order in run.order.steps if "effort" in order.params]
    return unproven(run.status.results[-1] if run.status.results else {}, facts, *efforts[-1:])


def finish_release(draft: Draft, record: BoardRecord) -> None:
    """Let a releasing board go on when its wipe has ended: clean and off it is free, else put aside."""
    run = draft.runs.get(record.run) if record.run else None
    if record.lifecycle is not Lifecycle.RELEASING or run is None or not run.status.state.ended:
        return
    if run.status.state is not RunState.SUCCEEDED:
        quarantine(draft, record, f"wipe {_ended(run)}")
    elif why := _unproven(run, record):
        quarantine(draft, record, f"the wipe is not proven: {why}")
    elif record.conflict:
        quarantine(draft, record, record.conflict)
    elif off_as_far_as_known(draft, record):
        free = replace(record, lifecycle=Lifecycle.AVAILABLE, claim=None, reason="")
        draft.boards.put(record.name, free)
        _close_claim(draft, record, "")
        if record.maintenance:
            put_aside(draft, free, record.maintenance)
        elif record.health.verdict is HealthVerdict.BAD:
            quarantine(draft, free, f"health bad: {record.health.detail}")
        else:
            draft.event("board.available", f'board "{record.name}" is clean and free', board=record.name)
    elif draft.now >= (run.status.ended or draft.now) + POWER_OFF_SECONDS:
        seen = draft.observed.get(record.name)
        state = seen.power.state if seen else PowerState.UNKNOWN
        why = f": {seen.power_error}" if seen and seen.power_error else ""
        quarantine(draft, record, f"wiped, but its power reads {state} instead of off{why}")


def release_deadline(record: BoardRecord, run: RunRecord | None) -> float | None:
    """Return when a wiped board must have gone off, if it is one."""
    if record.lifecycle is not Lifecycle.RELEASING or run is None or run.status.ended is None:
        return None
    return run.status.ended + POWER_OFF_SECONDS


def off_as_far_as_known(draft: Draft, record: BoardRecord) -> bool:
    """Tell whether a board reads off, or was switched off by equipment that cannot be read."""
    if not record.board.power:
        return True  # nothing to switch and nothing to read
    seen = draft.observed.get(record.name)
    if seen is None:
        return False
    if seen.power.partly:
        return False
    return seen.power.state is PowerState.OFF or (
        seen.power.state is PowerState.UNKNOWN and seen.power_sent is PowerState.OFF
    )


def as_asked(record: BoardRecord, seen: Observed) -> bool:
    """Tell whether a board's power is what it is to be: it reads so, or was switched so and cannot be read.

    A cycle is not done before it has been off.
    """
    if seen.cycles < record.cycles:
        return False
    if seen.power.state is PowerState.UNKNOWN:
        return seen.power_sent is record.power
    return agrees(seen.power, record.power)


def _ended(run: RunRecord) -> str:
    return (
        f"{run.status.state.replace('_', ' ')}: {run.status.error}"
        if run.status.error
        else str(run.status.state)
    )


def quarantine(draft: Draft, record: BoardRecord, reason: str) -> None:
    """Put a board aside and say why; a claim that was giving it back is closed with the reason."""
    lifecycle = move(record.name, record.lifecycle, Lifecycle.QUARANTINED)
    aside = replace(record, lifecycle=lifecycle, reason=reason, claim=None, power=PowerState.OFF)
    draft.boards.put(record.name, aside)
    _close_claim(draft, record, reason)
    draft.event("board.quarantined", f'board "{record.name}" is quarantined: {reason}', board=record.name)


def put_aside(draft: Draft, record: BoardRecord, reason: str, by: Principal | None = None) -> BoardRecord:
    """Move a board that nobody holds into maintenance."""
    lifecycle = move(record.name, record.lifecycle, Lifecycle.MAINTENANCE)
    record = replace(record, lifecycle=lifecycle, reason=reason, maintenance="")
    draft.boards.put(record.name, record)
    draft.event(
        "board.maintenance", f'board "{record.name}" is in maintenance: {reason}', board=record.name,
        principal=by.name if by else None,
    )  # fmt: skip
    return record


def _close_claim(draft: Draft, record: BoardRecord, trouble: str) -> None:
    """Take a board that came back out of its claim; the claim closes with the last one."""
    claim = draft.claims.get(record.claim) if record.claim else None
    if claim is None:
        return
    if trouble:
        claim = replace(claim, unclean={**claim.unclean, record.name: trouble})
        draft.claims.put(claim.id, claim)
    others = (draft.boards.get(name) for name in claim.boards if name != record.name)
    if any(other is not None and other.claim == claim.id for other in others):
        return
    reason = claim.reason
    if claim.unclean:
        alone = len(claim.boards) == 1
        reason = "; ".join(why if alone else f"{name}: {why}" for name, why in sorted(claim.unclean.items()))
    closed = replace(claim, state=ClaimState.CLOSED, closed=draft.now, reason=reason)
    draft.claims.put(claim.id, closed)
    text = f"{claim.principal} no longer holds {', '.join(claim.boards)}: {reason}"
    draft.event("claim.closed", text, board=record.name, claim=claim.id)


def power(draft: Draft, principal: Principal, name: str, action: str) -> BoardRecord:
    """Set what a board's power is to be; ``action`` is on, off or cycle."""
    record = runs.held(draft, principal, name)
    if action not in ("on", "off", "cycle"):
        raise InvalidError(f'"{action}" is no power action; say on, off or cycle')
    if record.lifecycle is Lifecycle.DISCOVERED or not record.board.power:
        raise ConflictError(f'board "{name}" has no power wire in lab.toml', kind="no-power")
    if record.lifecycle is Lifecycle.RELEASING:
        raise ConflictError(
            f'board "{name}" is being given back; wait until that has ended', kind="board-busy"
        )
    runs.refuse_while_active(draft, record)
    record = replace(
        record,
        power=PowerState.OFF if action == "off" else PowerState.ON,
        cycles=record.cycles + (action == "cycle"),
        asked=record.asked + 1,
    )
    draft.boards.put(name, record)
    draft.event(
        f"power.{action}", f'{principal.name} asked for power {action} on board "{name}"',
        board=name, claim=record.claim, principal=principal.name,
    )  # fmt: skip
    return record


def recover(draft: Draft, principal: Principal, name: str) -> BoardRecord:
    """Send a board that was put aside through another wipe."""
    record = draft.boards.get(name)
    if record is None:
        raise NotFoundError(f'there is no board "{name}"', kind="unknown-board")
    if not principal.admin:
        raise ForbiddenError("only an admin may recover a board")
    if record.lifecycle not in (Lifecycle.QUARANTINED, Lifecycle.MAINTENANCE):
        raise ConflictError(
            f'board "{name}" is {record.lifecycle}; only a quarantined board or one in maintenance '
            "can be recovered"
        )
    if absent := runs.no_agent(draft, record):
        raise ConflictError(absent, kind="no-agent")
    if record.health.checkup is not None:  # the wipe takes the place of what was tried on it
        record = replace(record, health=replace(record.health, checkup=None))
    if record.health.verdict is HealthVerdict.BAD:  # it is given another chance, and is checked soon
        record = replace(record, health=replace(record.health, verdict=HealthVerdict.UNKNOWN, at=None))
    text = f'{principal.name} recovers board "{name}"'
    draft.event("board.recovering", text, board=name, principal=principal.name)
    give_back(draft, record, principal)
    return draft.boards[name]


def stranger_name(mac: str) -> str:
    """Return the name a machine nobody knows is listed under."""
    return f"unknown-{mac.replace(':', '')}"


def meet(draft: Draft, stranger: Stranger) -> None:
    """List a machine nobody knows; never written to, and gone from the list once ``lab.toml`` has its MAC."""
    name = stranger_name(stranger.mac)
    if any(stranger.mac in board.macs for board in draft.inventory.boards.values()):
        return
    known = draft.boards.get(name)
    record = BoardRecord(
        Board(name, "", stranger.network, (stranger.mac,)),
        Lifecycle.DISCOVERED,
        known.reason if known and known.unclean else "not in lab.toml",
        facts=stranger.facts,
        unclean=known.unclean if known else "",
    )
    if known != record:
        draft.boards.put(name, record)
    if known is None:
        text = f'machine {stranger.mac} asks on network "{stranger.network}" and is not in lab.toml'
        draft.event("board.discovered", text, board=name, data={"mac": stranger.mac, "facts": stranger.facts})


def part(draft: Draft, mac: str) -> None:
    """Take a machine nobody knows off the list."""
    record = draft.boards.get(stranger_name(mac))
    if record is not None and record.lifecycle is Lifecycle.DISCOVERED and not record.unclean:
        draft.boards.remove(record.name)


def leave(draft: Draft, record: BoardRecord) -> None:
    """Take a board out of the inventory; one that was not clean is remembered by its MACs."""
    draft.boards.remove(record.name)
    if record.lifecycle is Lifecycle.AVAILABLE:
        return
    unclean = f'as "{record.name}" it was {record.lifecycle}' + (
        f": {record.reason}" if record.reason else ""
    )
    for mac in record.board.macs:
        name = stranger_name(mac)
        board = Board(name, "", record.board.network, (mac,))
        reason = f"not in lab.toml; {unclean}"
        draft.boards.put(name, BoardRecord(board, Lifecycle.DISCOVERED, reason, unclean=unclean))


def join(draft: Draft, board: Board) -> None:
    """Take a board into the inventory: free at once, unless it left it unclean."""
    unclean = ""
    for mac in board.macs:
        stranger = draft.boards.get(stranger_name(mac))
        if stranger is not None:
            unclean = unclean or stranger.unclean
            draft.boards.remove(stranger.name)
    lifecycle = Lifecycle.QUARANTINED if unclean else Lifecycle.AVAILABLE
    draft.boards.put(board.name, BoardRecord(board, lifecycle, unclean))
