"""Claims: ask for a board, see who holds what, give it back."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hostler.api.documents import ClaimDocument, claim_document
from hostler.api.gate import Caller, TheHub
from hostler.hub.duration import seconds

router = APIRouter()


class ClaimRequest(BaseModel):
    """What is asked for; ``ttl`` in seconds, or as ``90s`` ``10m`` ``2h`` ``1d``."""

    model_config = ConfigDict(extra="forbid")

    board_class: str = Field(alias="class")
    image: str | None = None
    name: str = ""
    ttl: Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str)] = 7200.0
    power: bool = False
    wait: bool = False


@router.post("/claims", status_code=201)
async def create_claim(hub: TheHub, caller: Caller, body: ClaimRequest) -> ClaimDocument:
    """Claim a board of a class; with ``wait`` the claim queues when none is free."""
    claim = await hub.claim(
        caller,
        body.board_class,
        name=body.name,
        ttl=body.ttl,
        image=body.image,
        power=body.power,
        wait=body.wait,
    )
    return claim_document(hub, claim)


@router.get("/claims")
async def list_claims(hub: TheHub, state: Literal["open", "all"] = "open") -> list[ClaimDocument]:
    """List claims, oldest first."""
    return [claim_document(hub, claim) for claim in await hub.reading.claims(closed=state == "all")]


@router.get("/claims/{claim}")
async def get_claim(hub: TheHub, caller: Caller, claim: str) -> ClaimDocument:
    """Return a claim by id, or an open one by name."""
    return claim_document(hub, await hub.reading.claim(caller, claim))


@router.delete("/claims/{claim}", status_code=202)
async def release_claim(hub: TheHub, caller: Caller, claim: str) -> ClaimDocument:
    """Give a claim back: its board is wiped, and the claim closed when that was verified."""
    return claim_document(hub, await hub.release(caller, claim))
