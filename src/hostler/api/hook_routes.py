"""Hooks: where events are told, how far that has come, and whether it works."""

from __future__ import annotations

import time

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from hostler.api.documents import iso, iso_or_none
from hostler.api.gate import Caller, TheHub
from hostler.hub.errors import ForbiddenError
from hostler.hub.hub import Hub
from hostler.hub.records import Hook, Principal

router = APIRouter()


class HookRequest(BaseModel):
    """Where events are to be posted; without kinds all but what is seen during boots."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=2000)
    kinds: list[str] = Field(default_factory=list, max_length=50)
    secret: str = Field(default="", max_length=500)


class HookDocument(BaseModel):
    """A hook and how far it is; ``behind`` counts the events it has not come to yet.

    One ``in_lab_toml`` is taken out there.
    """

    id: str
    url: str
    command: list[str]
    kinds: list[str]
    secret: str
    principal: str
    in_lab_toml: bool
    created: str
    cursor: int
    behind: int
    trying_since: str | None
    attempts: int
    error: str
    told: int
    given_up: int
    told_at: str | None


class HookTestDocument(BaseModel):
    """What came of telling a hook one event that means nothing."""

    ok: bool
    text: str
    seconds: float


@router.get("/hooks")
async def list_hooks(hub: TheHub, caller: Caller) -> list[HookDocument]:
    """List the hooks and how far each has come (admin: the address of a webhook often is its secret)."""
    _admin_only(caller)
    return [_document(hub, hook) for _, hook in sorted(hub.state.hooks.items())]


@router.post("/hooks", status_code=201)
async def add_hook(hub: TheHub, caller: Caller, body: HookRequest) -> HookDocument:
    """Have events posted to an address from now on (admin)."""
    hook = await hub.hooks.add(caller, body.url, tuple(body.kinds), body.secret)
    return _document(hub, hook)


@router.delete("/hooks/{hook_id}", status_code=204)
async def remove_hook(hub: TheHub, caller: Caller, hook_id: str) -> None:
    """Tell a hook nothing more (admin)."""
    await hub.hooks.remove(caller, hook_id)


@router.post("/hooks/{hook_id}/test")
async def test_hook(hub: TheHub, caller: Caller, hook_id: str) -> HookTestDocument:
    """Tell a hook one event that means nothing, now, and return what came of it (admin)."""
    _admin_only(caller)
    begun = time.monotonic()
    told = await hub.hooks.test(caller, hook_id)
    return HookTestDocument(ok=told.ok, text=told.text, seconds=round(time.monotonic() - begun, 3))


def _admin_only(caller: Principal) -> None:
    if not caller.admin:
        raise ForbiddenError("hooks are for admins")


def _document(hub: Hub, hook: Hook) -> HookDocument:
    progress = hub.hooks.progress(hook)
    return HookDocument(
        id=hook.id,
        url=hook.url,
        command=list(hook.command),
        kinds=list(hook.kinds),
        secret=hook.secret,
        principal=hook.principal,
        in_lab_toml=hook.id in hub.state.inventory.hooks,
        created=iso(hook.created),
        cursor=progress.cursor,
        behind=max(0, hub.history.last - progress.cursor),
        trying_since=iso_or_none(progress.trying_since),
        attempts=progress.attempts,
        error=progress.error,
        told=progress.told,
        given_up=progress.given_up,
        told_at=iso_or_none(progress.told_at),
    )
