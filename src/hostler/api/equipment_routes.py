"""Equipment: switches, PDUs and serial servers, with what hangs on their ends."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hostler.api.documents import HolderDocument, holder_document, iso_or_none
from hostler.api.gate import Caller, TheHub
from hostler.hub import access
from hostler.hub.front_panel import PanelEnd, PanelReading, front_panel, wires_of
from hostler.hub.hub import Hub
from hostler.hub.records import Principal
from hostler.model.board import Equipment, Lifecycle

router = APIRouter()


class EquipmentDocument(BaseModel):
    """A switch, PDU, BMC, relay card or serial host, and how many boards hang on it."""

    name: str
    driver: str
    boards: int


class WiredBoardDocument(BaseModel):
    """A board on an end; ``may_switch``: whether whoever asks may switch its power at this moment."""

    name: str
    lifecycle: str
    claim: HolderDocument | None
    may_switch: bool


class EndDocument(BaseModel):
    """A port, outlet or serial line; what is null is not known.

    ``place`` and whom a switch heard are for admins, as the inventory is. ``at`` is when ``state`` was read.
    """

    kind: Literal["power", "console", "bootctl", "network"]
    place: str
    boards: list[WiredBoardDocument]
    state: Literal["on", "off", "unknown"] | None
    watts: float | None
    detail: str
    at: str | None
    connected: bool | None
    link: bool | None
    spanning_tree: str | None
    pvid: int | None
    tagged: list[int]
    heard: list[str]
    strangers: list[str]
    stranger_count: int


class PoolDocument(BaseModel):
    """A supply of the equipment by its own words, in watts."""

    pool: str
    limit: float | None
    drawn: float | None


class PanelDocument(BaseModel):
    """The front of an equipment as it was read ``age`` seconds ago, once for all who look.

    ``asked`` is false for what cannot be asked as a whole: then boards' own readings are all there is, and
    null before the first reading. ``under_way``: it is being read now.
    """

    name: str
    driver: str
    budget_watts: float | None
    asked: bool | None
    read_at: str | None
    age: float | None
    under_way: bool
    trouble: str
    pools: list[PoolDocument]
    ends: list[EndDocument]


@router.get("/equipment")
async def list_equipment(hub: TheHub) -> list[EquipmentDocument]:
    """List the lab's equipment; nothing is asked of it."""
    count: dict[str, int] = {}
    for record in hub.state.boards.values():
        for name in {wire.equipment for _, wire in wires_of(record.board) if wire.equipment is not None}:
            count[name] = count.get(name, 0) + 1
    units = sorted(hub.state.inventory.equipment.values(), key=lambda unit: unit.name)
    return [
        EquipmentDocument(name=unit.name, driver=unit.driver, boards=count.get(unit.name, 0))
        for unit in units
    ]


@router.get("/equipment/{name}")
async def get_panel(
    hub: TheHub,
    caller: Caller,
    name: str,
    *,
    wait: Annotated[bool, Query(description="wait for a reading that is not old")] = False,
) -> PanelDocument:
    """Return the front of an equipment as it was read last, and have it read again if that is old."""
    reading = await hub.panels.fresh(name) if wait else hub.panels.last(name)
    ends = front_panel(hub.state, name, reading)
    if not caller.admin:
        ends = [end for end in ends if end.boards]
    return _panel(hub, caller, hub.state.inventory.equipment[name], reading, ends)


def _panel(
    hub: Hub, caller: Principal, unit: Equipment, reading: PanelReading | None, ends: list[PanelEnd]
) -> PanelDocument:
    return PanelDocument(
        name=unit.name,
        driver=unit.driver,
        budget_watts=unit.budget_watts,
        asked=reading.asked if reading else None,
        read_at=iso_or_none(reading.at) if reading else None,
        age=hub.panels.age(reading) if reading else None,
        under_way=hub.panels.under_way(unit.name),
        # It may name addresses.
        trouble=(reading.trouble if caller.admin or not reading.trouble else "it could not be read")
        if reading
        else "",
        pools=[PoolDocument.model_validate(pool) for pool in reading.pools] if reading else [],
        ends=[_end(hub, caller, end) for end in ends],
    )


def _end(hub: Hub, caller: Principal, end: PanelEnd) -> EndDocument:
    return EndDocument.model_validate(
        {
            "kind": end.kind,
            "place": end.place if caller.admin else "",
            "boards": [_board(hub, caller, name) for name in end.boards],
            "state": end.state,
            "watts": end.watts,
            "detail": end.detail,
            "at": iso_or_none(end.at),
            "connected": end.connected,
            "link": end.link,
            "spanning_tree": end.spanning_tree,
            "pvid": end.pvid,
            "tagged": end.tagged,
            "heard": end.heard if caller.admin else (),
            "strangers": end.strangers if caller.admin else (),
            "stranger_count": end.stranger_count if caller.admin else 0,
        }
    )


def _board(hub: Hub, caller: Principal, name: str) -> WiredBoardDocument:
    record = hub.state.boards[name]
    claim = hub.state.claims.get(record.claim or "")
    theirs = claim is not None and record.lifecycle is Lifecycle.CLAIMED and access.may_use(caller, claim)
    return WiredBoardDocument(
        name=name,
        lifecycle=record.lifecycle,
        claim=holder_document(caller, claim) if claim else None,
        may_switch=bool(record.board.power) and (caller.admin or theirs),
    )
