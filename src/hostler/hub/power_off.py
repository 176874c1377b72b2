"""Switching boards off that nobody asked for one by one: all of them at once, and those nobody uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hostler.hub import boards, runs
from hostler.hub.errors import ForbiddenError, NotFoundError
from hostler.model.board import Lifecycle
from hostler.model.idle import Idle, idle, switches_off
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from hostler.hub.records import BoardRecord, Principal
    from hostler.hub.state import Draft


@dataclass(frozen=True, slots=True)
class PowerCut:
    """What switching all power off has touched.

    Attributes:
        boards: Names of the boards that are to be off.
        runs: Ids of the runs it ended.
        quarantined: Names of the boards that were being wiped and are put aside.
    """

    boards: tuple[str, ...]
    runs: tuple[str, ...]
    quarantined: tuple[str, ...]


def all_off(draft: Draft, principal: Principal, equipment: str | None = None) -> PowerCut:
    """Switch every board of the lab off, or every one on an equipment, whatever it is doing.

    Raises:
        ForbiddenError: only an admin may do that.
        NotFoundError: there is no such equipment; the text names those there are.
    """
    if not principal.admin:
        raise ForbiddenError("only an admin may switch off the power of every board")
    if equipment is not None and equipment not in draft.inventory.equipment:
        known = ", ".join(sorted(draft.inventory.equipment)) or "none"
        raise NotFoundError(
            f'there is no equipment "{equipment}"; equipment: {known}', kind="unknown-equipment"
        )
    chosen = sorted(
        record.name
        for record in draft.boards.values()
        if record.lifecycle is not Lifecycle.DISCOVERED
        and record.board.power
        and (equipment is None or any(wire.equipment == equipment for wire in record.board.power))
    )
    why = f"all power was switched off by {principal.name}"
    ended, aside = [], []
    for name in chosen:
        run = runs.active(draft, draft.boards[name])
        if run is not None:
            runs.supersede(draft, draft.boards[name], why)
            ended.append(run.id)
        record = draft.boards[name]
        if record.power is PowerState.ON or run is not None:
            about = {"board": name, "claim": record.claim, "principal": principal.name}
            draft.event("power.off", f'board "{name}" is switched off: {why}', **about)
        # Asked anew also of those that are to be off already: one that does not obey is tried again.
        record = replace(record, power=PowerState.OFF, asked=record.asked + 1)
        draft.boards.put(name, record)
        if run is not None and record.lifecycle is Lifecycle.RELEASING:
            boards.quarantine(draft, record, why)
            aside.append(name)
    cut = PowerCut(tuple(chosen), tuple(ended), tuple(aside))
    where = f' on equipment "{equipment}"' if equipment is not None else ""
    draft.event(
        "power.all-off",
        f"{principal.name} switched off all power{where}: {len(chosen)} boards, {len(ended)} runs ended",
        principal=principal.name,
        data={
            "equipment": equipment,
            "boards": chosen,
            "runs": ended,
            "quarantined": aside,
        },
    )
    return cut


def idle_off(draft: Draft) -> None:
    """Tell the holders of boards that nobody uses, and a while later switch these off."""
    for record in list(draft.boards.values()):
        limit, used = _limit(draft, record), _used(draft, record)
        if limit is None or used is None:
            continue
        about = {"board": record.name, "claim": record.claim}
        match idle(used, limit, record.idle_told, draft.now):
            case Idle.TELL:
                at = switches_off(used, limit, draft.now)
                data = {"used": used, "at": at}
                text = (
                    f'nobody has used board "{record.name}" for {(draft.now - used) / 60:.0f} min; it is '
                    f"switched off in {(at - draft.now) / 60:.0f} min unless its console is used"
                )
                draft.boards.put(record.name, replace(record, idle_told=draft.now))
                draft.event("power.idle-notice", text, data=data, **about)
            case Idle.SWITCH_OFF:
                idle_for = (draft.now - used) / 60
                text = f'board "{record.name}" is switched off: nobody has used it for {idle_for:.0f} min'
                draft.boards.put(
                    record.name, replace(record, power=PowerState.OFF, asked=record.asked + 1, idle_told=0.0)
                )
                draft.event("power.idle-off", text, data={"used": used}, **about)


def _limit(draft: Draft, record: BoardRecord) -> float | None:
    """Return after how many seconds a board is switched off when nobody uses it; None: it is left alone."""
    if record.lifecycle is not Lifecycle.CLAIMED or record.power is not PowerState.ON:
        return None
    if not record.board.power or runs.active(draft, record) is not None:
        return None
    board_class = draft.inventory.classes.get(record.board.board_class)
    return board_class.idle_off if board_class is not None else None


def _used(draft: Draft, record: BoardRecord) -> float | None:
    """Return the Unix time of a board's last sign of use; None while no rack tells of it."""
    seen = draft.observed.get(record.name)
    if seen is None:
        return None
    claim = draft.claims.get(record.claim) if record.claim else None
    run = draft.runs.get(record.run) if record.run else None
    signs = (
        seen.active_at,
        record.boot.started if record.boot else None,
        run.status.ended if run else None,
        claim.granted if claim else None,
    )
    return max((at for at in signs if at is not None), default=None)
