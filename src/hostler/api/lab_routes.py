"""The lab as a whole: inventory, agents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from hostler.api.gate import Caller, TheHub
from hostler.hub.errors import InvalidError
from hostler.hub.inventory_changes import InventoryChange
from hostler.hub.records import Agent

router = APIRouter()

FileName = Annotated[str, Query(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Base = Annotated[str | None, Query(min_length=64, max_length=64)]


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


class KeyDocument(BaseModel):
    """One key that is not what it was; None: it is not there. A secret is a reference or hidden."""

    key: str
    old: Any
    new: Any


class ChangeDocument(BaseModel):
    """One difference between two inventories; ``keys`` are all it has, or had, when it comes or goes."""

    what: Literal["lab", "network", "equipment", "class", "board", "hook"]
    name: str
    change: Literal["add", "change", "remove"]
    detail: str
    keys: list[KeyDocument]


class ChangesDocument(BaseModel):
    """Everything that applying an inventory changes; ``base`` is the digest of the one it replaces."""

    base: str
    changes: list[ChangeDocument]


class AgentRequest(_Request):
    """Absolute paths on the server; ``boot_files`` by the names that boards' firmware asks for.

    ``trusted_keys`` (hex) and ``require_signed`` say what the agent was built with.
    """

    kernel: str
    initrd: str
    boot_files: dict[str, str] = Field(default_factory=dict, max_length=256)
    trusted_keys: list[str] = Field(default_factory=list, max_length=64)
    require_signed: bool = False


class AgentDocument(BaseModel):
    """The agent of an architecture, by artefact ids."""

    arch: str
    kernel: str
    initrd: str
    boot_files: dict[str, str] = Field(default_factory=dict)
    trusted_keys: list[str]
    require_signed: bool


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
    hub: TheHub,
    caller: Caller,
    request: Request,
    *,
    dry_run: bool = False,
    file: FileName = "lab.toml",
    base: Base = None,
) -> ChangesDocument:
    """Make this ``lab.toml`` the inventory (admin); with ``dry_run`` only tell what would change.

    Mistakes are told with the name ``file``. With ``base``, as a dry run has told it, nothing is changed if
    the inventory is another one by now.
    """
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{file} is not UTF-8 text: {error}", kind="bad-inventory") from error
    before = hub.state.inventory.digest
    changes = await hub.apply_inventory(caller, text, file=file, dry_run=dry_run, base=base)
    return ChangesDocument(base=before, changes=[_change_document(one) for one in changes])


def _change_document(change: InventoryChange) -> ChangeDocument:
    return ChangeDocument.model_validate(
        {
            "what": change.what,
            "name": change.name,
            "change": change.change,
            "detail": change.detail,
            "keys": [{"key": one.key, "old": one.old, "new": one.new} for one in change.keys],
        }
    )


@router.get("/agents")
async def list_agents(hub: TheHub) -> list[AgentDocument]:
    """List the agents, one an architecture."""
    agents = sorted(hub.state.agents.values(), key=lambda agent: agent.arch)
    return [_agent(agent) for agent in agents]


@router.put("/agents/{arch}")
async def put_agent(hub: TheHub, caller: Caller, arch: str, body: AgentRequest) -> AgentDocument:
    """Let these files be the agent of an architecture from now on (admin)."""
    boot_files = {name: Path(path) for name, path in body.boot_files.items()}
    return _agent(
        await hub.images.register_agent(
            caller,
            arch,
            Path(body.kernel),
            Path(body.initrd),
            boot_files,
            trusted_keys=body.trusted_keys,
            require_signed=body.require_signed,
        )
    )


@router.get("/agents/{arch}/files/{name}", response_class=FileResponse)
async def get_agent_file(hub: TheHub, arch: str, name: str) -> FileResponse:
    """Return a file of an agent: ``kernel``, ``initrd``, or one of its boot files by name."""
    return FileResponse(hub.images.agent_file(arch, name), media_type="application/octet-stream")


def _agent(agent: Agent) -> AgentDocument:
    return AgentDocument(
        arch=agent.arch,
        kernel=agent.kernel,
        initrd=agent.initrd,
        boot_files=agent.boot_files,
        trusted_keys=list(agent.trusted_keys),
        require_signed=agent.require_signed,
    )


@router.get("/openapi.json", include_in_schema=False)
async def get_openapi(request: Request) -> dict[str, Any]:
    """Return the description of this API."""
    description: dict[str, Any] = request.app.openapi()
    return description
