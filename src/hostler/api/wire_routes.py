"""Wires: looked at, tried, and searched for."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from hostler.api.documents import iso
from hostler.api.gate import Caller, TheHub
from hostler.hub.adopting import FIND_SECONDS, find_wires
from hostler.hub.errors import InvalidError
from hostler.hub.hub import Hub
from hostler.hub.lab_checks import Slot, UnderWay
from hostler.hub.metal import IN_LINE, NETBOOT_SECONDS
from hostler.hub.records import Principal
from hostler.hub.wire_tests import AT_ONCE

router = APIRouter()

_LONGEST = 3600.0


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class CheckRequest(_Request):
    """What to check: one board, a class (only with ``active``), or everything.

    With ``active`` the boards are switched, ``at_once`` side by side, and must have asked for an address
    within ``seconds``.
    """

    board: str | None = None
    active: bool = False
    board_class: str | None = Field(None, alias="class")
    seconds: float = Field(NETBOOT_SECONDS, gt=0, le=_LONGEST)
    at_once: int = Field(AT_ONCE, ge=1, le=IN_LINE)


class BoardCheckRequest(_Request):
    """How to try a board's wires; ``force``: also if it is claimed, by whoever may use it."""

    force: bool = False
    seconds: float = Field(NETBOOT_SECONDS, gt=0, le=_LONGEST)


class FindRequest(_Request):
    """What the machine is to be called and be one of: with both, its table for ``lab.toml`` is returned."""

    name: str | None = None
    board_class: str | None = Field(None, alias="class")
    seconds: float = Field(FIND_SECONDS, gt=0, le=_LONGEST)


class CheckDocument(BaseModel):
    """One wire or service looked at, and what to do if it is wrong."""

    what: str
    ok: bool
    text: str
    advice: str = ""


class ChecksDocument(BaseModel):
    """What looking at wires found; ``crossed``: other boards whose wires are wrong as well."""

    ok: bool
    checks: list[CheckDocument]
    crossed: list[str] = []


class UnderWayDocument(BaseModel):
    """A check that goes on: how many boards are done, and what was found wrong so far."""

    by: str
    since: str
    done: int
    of: int
    failed: list[CheckDocument]


class CheckedDocument(BaseModel):
    """A check that is over; of one before the server's start only what was wrong is known: not ``whole``."""

    by: str
    at: str
    ok: bool
    error: str
    count: int
    whole: bool
    checks: list[CheckDocument]


class SlotDocument(BaseModel):
    """One kind of check."""

    running: UnderWayDocument | None
    last: CheckedDocument | None


class LabCheckDocument(BaseModel):
    """Checks of the whole lab: ``look`` switches nothing, ``trial`` tries wires by switching boards."""

    look: SlotDocument
    trial: SlotDocument


class WireDocument(BaseModel):
    """A wire: through which equipment, and the keys of its end."""

    equipment: str
    params: dict[str, Any]


class FoundDocument(BaseModel):
    """Where a machine's wires are; ``ok``: both were found."""

    ok: bool
    mac: str
    board: str
    network: str
    power: WireDocument | None
    console: WireDocument | None
    checks: list[CheckDocument]
    toml: str = ""


@router.get("/check")
async def get_check(hub: TheHub) -> LabCheckDocument:
    """Return what the last look at the lab and the last trial of its wires found, and what goes on."""
    return _lab_check(hub)


@router.post("/check")
async def check(hub: TheHub, caller: Caller, body: CheckRequest) -> ChecksDocument:
    """Look at every wire, or at those of one board; with ``active`` try them (admin)."""
    _refuse_class(body)
    if body.board is not None:
        if body.active:
            found = await hub.wire_tests.test(caller, body.board, seconds=body.seconds)
        else:
            found = await hub.metal.check(body.board)
        return ChecksDocument.model_validate(found)
    ok, checks = await hub.lab_checks.whole(_begin(hub, caller, body))
    return ChecksDocument.model_validate({"ok": ok, "checks": checks})


@router.post("/check/start", status_code=202)
async def start_check(hub: TheHub, caller: Caller, body: CheckRequest) -> LabCheckDocument:
    """Begin to look at every wire, or with ``active`` to try those of a board, a class or the lab (admin).

    It goes on by itself; ``GET /check`` tells how far it is.
    """
    _refuse_class(body)
    if body.board is None:
        _begin(hub, caller, body)
    elif body.active:
        hub.lab_checks.trial_of(caller, body.board, seconds=body.seconds)
    else:
        raise InvalidError("a look at one board is no work to wait for; ask for it with POST /check")
    return _lab_check(hub)


@router.delete("/check")
async def call_off_trial(hub: TheHub, caller: Caller) -> LabCheckDocument:
    """Call off the trial that goes on (admin); answers when every board is put back; power follows."""
    await hub.lab_checks.call_off(caller)
    return _lab_check(hub)


def _refuse_class(body: CheckRequest) -> None:
    if body.board_class is not None and not body.active:
        raise InvalidError("class is for active checks; a look takes one board, or all")


def _begin(hub: Hub, caller: Principal, body: CheckRequest) -> UnderWay:
    if not body.active:
        return hub.lab_checks.look(caller)
    return hub.lab_checks.trial(caller, body.board_class, seconds=body.seconds, at_once=body.at_once)


def _lab_check(hub: Hub) -> LabCheckDocument:
    slots = hub.lab_checks.slots
    return LabCheckDocument(look=_slot(slots["look"]), trial=_slot(slots["trial"]))


def _slot(slot: Slot) -> SlotDocument:
    going, last = slot.running, slot.last
    return SlotDocument(
        running=UnderWayDocument(
            by=going.by,
            since=iso(going.since),
            done=going.done,
            of=going.of,
            failed=[CheckDocument.model_validate(row) for row in going.found if not row["ok"]],
        )
        if going
        else None,
        last=CheckedDocument(
            by=last.by,
            at=iso(last.at),
            ok=last.ok,
            error=last.error,
            count=last.count,
            whole=last.whole,
            checks=[CheckDocument.model_validate(row) for row in last.checks],
        )
        if last
        else None,
    )


@router.post("/boards/{name}/check")
async def check_board(hub: TheHub, caller: Caller, name: str, body: BoardCheckRequest) -> ChecksDocument:
    """Try each wire of a board by switching it; events ``check.step`` tell of each as it is known."""
    report = await hub.wire_tests.test(caller, name, force=body.force, seconds=body.seconds)
    return ChecksDocument.model_validate(report)


@router.delete("/boards/{name}/check", status_code=204)
async def call_off_check(hub: TheHub, caller: Caller, name: str) -> None:
    """Call off the trial of a board's wires (admin, or who has them tried).

    It answers when the board is put back; its power follows.
    """
    await hub.wire_tests.call_off(caller, name)


@router.post("/discovered/{mac}/find-wires")
async def search_wires(hub: TheHub, caller: Caller, mac: str, body: FindRequest) -> FoundDocument:
    """Find the power and the console of a machine nobody knows, by asking switches and by trying (admin)."""
    found = await find_wires(
        hub, caller, mac, name=body.name, board_class=body.board_class, seconds=body.seconds
    )
    return FoundDocument.model_validate(found)
