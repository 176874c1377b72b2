"""Networks: which there are, who has which address, and what another DHCP server is to say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from hostler.api.gate import Caller, TheHub
from hostler.hub.errors import NotFoundError
from hostler.model.foreign_dhcp import WRITERS, ForeignNetwork

router = APIRouter()

Name = Annotated[str | None, Query(min_length=1, max_length=63)]


Kind = Literal["isc", "kea", "dnsmasq", "windows", "mikrotik"]


class NetworkDocument(BaseModel):
    """One network of the lab.

    ``relayed``: the network by which its relays reach the server; ``http_port``: where boards are served.
    """

    name: str
    dhcp: Literal["own", "proxy", "off", "none"]
    subnet: str
    server: str
    relayed: str | None
    range: str | None
    router: str | None
    subnet6: str | None
    range6: str | None
    http_port: int


class DhcpLinesDocument(BaseModel):
    """What to put into the configuration of another DHCP server, so that it sends boards here."""

    network: str
    kind: Kind
    text: str


class LeaseDocument(BaseModel):
    """One address and who has it; ``foreign``: another DHCP server gave it, as the client said."""

    network: str
    address: str
    mac: str | None
    board: str | None
    kind: Literal["static", "dynamic", "foreign"]
    state: Literal["offered", "bound", "released", "declined", "expired", "reserved"]
    expires: datetime | None


@router.get("/networks")
async def list_networks(hub: TheHub, caller: Caller) -> list[NetworkDocument]:
    """List the networks of the lab."""
    _ = caller
    networks = hub.state.inventory.networks
    documents = []
    for name, values in sorted(networks.items()):
        seen = ForeignNetwork.of_plan(name, networks)
        known = {key: values.get(key) for key in ("relayed", "range", "router", "subnet6", "range6")}
        documents.append(
            NetworkDocument(
                name=name,
                dhcp=values["dhcp"],
                subnet=str(seen.subnet),
                server=str(seen.server),
                http_port=seen.http_port,
                **known,
            )
        )
    return documents


@router.get("/networks/{network}/dhcp-lines/{kind}")
async def dhcp_lines(hub: TheHub, caller: Caller, network: str, kind: Kind) -> DhcpLinesDocument:
    """Return the lines for another DHCP server on a network with ``dhcp = "off"``."""
    _ = caller
    networks = hub.state.inventory.networks
    if network not in networks:
        raise NotFoundError(
            f'there is no network "{network}"; known: {", ".join(sorted(networks)) or "none yet"}',
            kind="no-network",
        )
    text = WRITERS[kind](ForeignNetwork.of_plan(network, networks))
    return DhcpLinesDocument(network=network, kind=kind, text=text)


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
