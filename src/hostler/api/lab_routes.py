"""The lab as a whole: inventory, agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from hostler.api.gate import Caller, TheHub
from hostler.hub.errors import InvalidError

router = APIRouter()


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InventoryDocument(BaseModel):
    """The inventory in force; ``text`` is the ``lab.toml`` it was read from, for admins."""

    lab: str
    text: str | None
    networks: int
    equipment: int
    classes: int
    boards: int


class ChangeDocument(BaseModel):
    """One difference between two inventories."""

    what: Literal["network", "equipment", "class", "board", "hook"]
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


@router.get("/inventory")
async def get_inventory(hub: TheHub, caller: Caller) -> InventoryDocument:
    """Return the inventory in force; its text tells where the lab's equipment is, and is for admins."""
    inventory = hub.state.inventory
    return InventoryDocument(
        lab=inventory.lab,
        text=inventory.text if caller.admin else None,
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


@router.get("/openapi.json", include_in_schema=False)
async def get_openapi(request: Request) -> dict[str, Any]:
    """Return the description of this API."""
    description: dict[str, Any] = request.app.openapi()
    return description
