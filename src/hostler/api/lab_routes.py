"""The lab as a whole: inventory, history, agents, principals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from hostler.api.documents import EventDocument, event_document
from hostler.api.gate import Caller, TheHub
from hostler.api.sse import EventStream, message
from hostler.hub.errors import InvalidError

router = APIRouter()

MOST = 2**63 - 1  # what a database takes for a number


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InventoryDocument(BaseModel):
    """The inventory in force; ``text`` is the ``lab.toml`` it was read from."""

    lab: str
    text: str
    networks: int
    equipment: int
    classes: int
    boards: int


class ChangeDocument(BaseModel):
    """One difference between two inventories."""

    what: Literal["network", "equipment", "class", "board"]
    name: str
    change: Literal["add", "change", "remove"]
    detail: str


class ChangesDocument(BaseModel):
    """Everything that applying an inventory changes."""

    changes: list[ChangeDocument]


class AgentRequest(_Request):
    """Absolute paths on the server."""

    kernel: str
    initrd: str


class AgentDocument(BaseModel):
    """The agent of an architecture, by artefact ids."""

    arch: str
    kernel: str
    initrd: str


class PrincipalRequest(_Request):
    """Who is to be let in."""

    name: str
    role: Literal["admin", "member"] = "member"


class PrincipalDocument(BaseModel):
    """Somebody who may ask; ``token`` is there only in the answer that made it."""

    name: str
    role: str
    token: str | None = None


@router.get("/inventory")
async def get_inventory(hub: TheHub) -> InventoryDocument:
    """Return the inventory in force."""
    inventory = hub.state.inventory
    return InventoryDocument(
        lab=inventory.lab,
        text=inventory.text,
        networks=len(inventory.networks),
        equipment=len(inventory.equipment),
        classes=len(inventory.classes),
        boards=len(inventory.boards),
    )


@router.put(
    "/inventory",
    openapi_extra={
        "requestBody": {"content": {"text/plain": {"schema": {"type": "string"}}}, "required": True}
    },
)
async def put_inventory(
    hub: TheHub, caller: Caller, request: Request, *, dry_run: bool = False
) -> ChangesDocument:
    """Make this ``lab.toml`` the inventory (admin); with ``dry_run`` only tell what would change."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"lab.toml is not UTF-8 text: {error}", kind="bad-inventory") from error
    changes = await hub.apply_inventory(caller, text, dry_run=dry_run)
    return ChangesDocument(
        changes=[
            ChangeDocument.model_validate(
                {"what": one.what, "name": one.name, "change": one.change, "detail": one.detail}
            )
            for one in changes
        ]
    )


@router.get("/events", response_model=list[EventDocument])
async def list_events(
    hub: TheHub, *, after: int | None = Query(None, ge=0, le=MOST), follow: bool = False,
    board: str | None = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=MOST)] = None,
) -> Response | list[EventDocument]:  # fmt: skip
    """Return history after a number as JSON, at most 500 events; with ``follow`` as SSE, for ever."""
    start = last_event_id if last_event_id is not None else after
    if not follow:
        return [event_document(event) for event in await hub.history.page(start or 0, board)]

    async def stream() -> AsyncIterator[str]:
        async for event in hub.history.follow(start, board):
            if event is None:
                yield message()
            else:
                yield message(event_document(event).model_dump_json(), event.kind, event.seq)

    return EventStream(stream())


@router.get("/agents")
async def list_agents(hub: TheHub) -> list[AgentDocument]:
    """List the agents, one an architecture."""
    agents = sorted(hub.state.agents.values(), key=lambda agent: agent.arch)
    return [AgentDocument(arch=agent.arch, kernel=agent.kernel, initrd=agent.initrd) for agent in agents]


@router.put("/agents/{arch}")
async def put_agent(hub: TheHub, caller: Caller, arch: str, body: AgentRequest) -> AgentDocument:
    """Let these files be the agent of an architecture from now on (admin)."""
    agent = await hub.images.register_agent(caller, arch, Path(body.kernel), Path(body.initrd))
    return AgentDocument(arch=agent.arch, kernel=agent.kernel, initrd=agent.initrd)


@router.get("/me")
async def get_me(caller: Caller) -> PrincipalDocument:
    """Return who the token belongs to."""
    return PrincipalDocument(name=caller.name, role=caller.role)


@router.get("/principals")
async def list_principals(hub: TheHub) -> list[PrincipalDocument]:
    """List who may ask."""
    return [PrincipalDocument(name=p.name, role=p.role) for _, p in sorted(hub.state.principals.items())]


@router.post("/principals", status_code=201)
async def create_principal(hub: TheHub, caller: Caller, body: PrincipalRequest) -> PrincipalDocument:
    """Let somebody in (admin); the answer has the token, which is never shown again."""
    principal, token = await hub.create_principal(caller, body.name, body.role)
    return PrincipalDocument(name=principal.name, role=principal.role, token=token)


@router.delete("/principals/{name}", status_code=204)
async def remove_principal(hub: TheHub, caller: Caller, name: str) -> None:
    """Let somebody in no more (admin); what they hold stays theirs until its time is over."""
    await hub.remove_principal(caller, name)


@router.get("/openapi.json", include_in_schema=False)
async def get_openapi(request: Request) -> dict[str, Any]:
    """Return the description of this API."""
    description: dict[str, Any] = request.app.openapi()
    return description
