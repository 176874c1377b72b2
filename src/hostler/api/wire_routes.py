"""Wires: looked at, tried, and searched for."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from hostler.api.gate import Caller, TheHub
from hostler.hub.adopting import FIND_SECONDS, find_wires
from hostler.hub.errors import InvalidError
from hostler.hub.metal import IN_LINE, NETBOOT_SECONDS
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


@router.post("/check")
async def check(hub: TheHub, caller: Caller, body: CheckRequest) -> ChecksDocument:
    """Look at every wire, or at those of one board; with ``active`` try them (admin)."""
    if not body.active:
        if body.board_class is not None:
            raise InvalidError("class is for active checks; a look takes one board, or all")
        return ChecksDocument.model_validate(await hub.metal.check(body.board))
    if body.board is not None:
        return ChecksDocument.model_validate(
            await hub.wire_tests.test(caller, body.board, seconds=body.seconds)
        )
    found = await hub.wire_tests.test_many(
        caller, body.board_class, seconds=body.seconds, at_once=body.at_once
    )
    return ChecksDocument.model_validate(found)


@router.post("/boards/{name}/check")
async def check_board(hub: TheHub, caller: Caller, name: str, body: BoardCheckRequest) -> ChecksDocument:
    """Try each wire of a board by switching it; events ``check.step`` tell of each as it is known."""
    report = await hub.wire_tests.test(caller, name, force=body.force, seconds=body.seconds)
    return ChecksDocument.model_validate(report)


@router.post("/discovered/{mac}/find-wires")
async def search_wires(hub: TheHub, caller: Caller, mac: str, body: FindRequest) -> FoundDocument:
    """Find the power and the console of a machine nobody knows, by asking switches and by trying (admin)."""
    found = await find_wires(
        hub, caller, mac, name=body.name, board_class=body.board_class, seconds=body.seconds
    )
    return FoundDocument.model_validate(found)
