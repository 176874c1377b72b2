"""Equipment: switches, PDUs and serial servers, with what hangs on their ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from hostler.api.documents import HolderDocument, holder_document, iso_or_none
from hostler.api.gate import Caller, TheHub
from hostler.api.sse import ALSO_A_STREAM, EventStream, message
from hostler.hub import access
from hostler.hub.errors import InvalidError
from hostler.hub.front_panel import PanelEnd, PanelReading, front_panel, wires_of
from hostler.hub.hub import Hub
from hostler.hub.live_fronts import PACE_SECONDS, LiveFronts
from hostler.hub.records import Principal
from hostler.model.board import Equipment, Lifecycle

router = APIRouter()

MOST_FOLLOWED = 64
"""Fronts in one stream: more than a page shows at once."""
KEEP_ALIVE_SECONDS = 15.0
"""Longest silence of a stream: who hears nothing for longer takes the connection for broken."""


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


class _Reading(BaseModel):
    name: str
    driver: str
    budget_watts: float | None
    asked: bool | None
    read_at: str | None
    age: float | None
    trouble: str
    pools: list[PoolDocument]


class PanelDocument(_Reading):
    """The front of an equipment as it was read ``age`` seconds ago, once for all who look.

    ``asked`` is false for what cannot be asked as a whole: then boards' own readings are all there is, and
    null before the first reading. ``under_way``: it is being read now.
    """

    under_way: bool
    ends: list[EndDocument]


class FrontDocument(_Reading):
    """What is told of a front besides its ends, of which there are the ids in their order."""

    ends: list[str]


class LiveEndDocument(EndDocument):
    """An end of a front that is followed; ``at`` is that of the reading that changed it."""

    equipment: str
    id: str


@router.get("/equipment", response_model=list[EquipmentDocument], responses=ALSO_A_STREAM)
async def list_equipment(
    hub: TheHub, caller: Caller, request: Request, *, follow: bool = False,
    unit: Annotated[list[str] | None, Query(description="which to follow", max_length=MOST_FOLLOWED)] = None,
) -> Response | list[EquipmentDocument]:  # fmt: skip
    """List the lab's equipment; nothing is asked of it.

    With ``follow`` the fronts of those named by ``unit`` as SSE, for ever, read again and again while
    somebody follows: an event ``end`` for each port or outlet that is new or has changed, after them
    ``front`` for an equipment that was read or has other ends than before, and ``gone`` with the name of one
    that is no more.
    """
    if follow:
        if not unit:
            raise InvalidError("say which equipment to follow: add unit=NAME, as often as needed")
        names = list(dict.fromkeys(unit))
        fronts: LiveFronts = request.app.state.fronts
        with fronts.followed(names):
            pass  # an unknown one is refused before the answer begins
        return EventStream(_follow(hub, caller, fronts, names))
    if unit:
        raise InvalidError("unit is for who follows: add follow=true, or ask for /equipment/NAME")
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


async def _follow(hub: Hub, caller: Principal, fronts: LiveFronts, names: list[str]) -> AsyncIterator[str]:
    with fronts.followed(names):
        number = fronts.look()
        for name in names:
            yield _whole(hub, caller, fronts, name)
        said = time.monotonic()
        while True:
            await asyncio.sleep(PACE_SECONDS)
            await fronts.wait()
            newest = fronts.look()
            changed = [(name, end) for name, end in fronts.since(number) if name in names]
            number, now = newest, time.monotonic()
            # Ends first: a front then names none that is not known.
            ends = "".join(_end_text(hub, caller, fronts, name, end) for name, end in changed if end)
            text = ends + "".join(_front_text(hub, caller, fronts, name) for name, end in changed if not end)
            if text or now - said > KEEP_ALIVE_SECONDS:
                said = now
                yield text or message()


def _whole(hub: Hub, caller: Principal, fronts: LiveFronts, name: str) -> str:
    front = fronts.front(name)
    ends = [_end_text(hub, caller, fronts, name, ident) for ident in front.ends] if front else []
    return "".join(ends) + _front_text(hub, caller, fronts, name)


def _end_text(hub: Hub, caller: Principal, fronts: LiveFronts, name: str, ident: str) -> str:
    """Return the message about an end; empty: it is gone, or not for them."""
    front = fronts.front(name)
    end = front.ends.get(ident) if front else None
    if end is None or not (caller.admin or end.boards):
        return ""
    told = LiveEndDocument(equipment=name, id=ident, **dict(_end(hub, caller, end)))
    return message(told.model_dump_json(), "end")


def _front_text(hub: Hub, caller: Principal, fronts: LiveFronts, name: str) -> str:
    front = fronts.front(name)
    if front is None:
        return message(json.dumps({"name": name}), "gone")
    ends = [ident for ident, end in front.ends.items() if caller.admin or end.boards]
    told = FrontDocument(**_reading(hub, caller, front.unit, front.reading), ends=ends)
    return message(told.model_dump_json(), "front")


def _panel(
    hub: Hub, caller: Principal, unit: Equipment, reading: PanelReading | None, ends: list[PanelEnd]
) -> PanelDocument:
    return PanelDocument(
        **_reading(hub, caller, unit, reading),
        under_way=hub.panels.under_way(unit.name),
        ends=[_end(hub, caller, end) for end in ends],
    )


def _reading(hub: Hub, caller: Principal, unit: Equipment, reading: PanelReading | None) -> dict[str, Any]:
    trouble = reading.trouble if reading else ""
    return {
        "name": unit.name,
        "driver": unit.driver,
        "budget_watts": unit.budget_watts,
        "asked": reading.asked if reading else None,
        "read_at": iso_or_none(reading.at) if reading else None,
        "age": hub.panels.age(reading) if reading else None,
        # It may name addresses.
        "trouble": trouble if caller.admin or not trouble else "it could not be read",
        "pools": [PoolDocument.model_validate(pool) for pool in reading.pools] if reading else [],
    }


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
