"""Networks: who has which address."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hostler.api.gate import Caller, TheHub

router = APIRouter()

Name = Annotated[str | None, Query(min_length=1, max_length=63)]


class LeaseDocument(BaseModel):
    """One address and who has it; ``foreign``: another DHCP server gave it, as the client said."""

    network: str
    address: str
    mac: str | None
    board: str | None
    kind: Literal["static", "dynamic", "foreign"]
    state: Literal["offered", "bound", "released", "declined", "expired", "reserved"]
    expires: datetime | None


@router.get("/leases")
async def list_leases(
    hub: TheHub, caller: Caller, board: Name = None, network: Name = None
) -> list[LeaseDocument]:
    """List the addresses of the lab's networks, of one board or one network if given."""
    _ = caller
    return [
        LeaseDocument.model_validate(
            {**row, "expires": datetime.fromtimestamp(row["expires"], UTC) if row["expires"] else None}
        )
        for row in await hub.metal.leases(board, network)
    ]
