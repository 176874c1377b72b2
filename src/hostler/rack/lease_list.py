"""Which addresses are given away on the rack's networks, and to which boards: from the leases on disk."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from hostler.link.port import RequestRefusedError
from hostler.netboot.lease_journal import LeaseJournalError, read_journal
from hostler.netboot.leases import (
    DUID_KEY,
    RECORD6_SIZE,
    RECORD_SIZE,
    Lease,
    LeaseState,
    read_records,
    read_records6,
)
from hostler.netboot.setup import LEASES6_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hostler.model.board import Board
    from hostler.model.json import Document
    from hostler.netboot.table import NetworkConfig

_STATES = {
    LeaseState.OFFERED: "offered",
    LeaseState.BOUND: "bound",
    LeaseState.RELEASED: "released",
    LeaseState.DECLINED: "declined",
    LeaseState.HEARD: "bound",
}


async def list_leases(
    served: Sequence[tuple[NetworkConfig, Path]],
    boards: Mapping[str, Board],
    stand_ins: Mapping[str, str],
    *,
    board: str | None = None,
    network: str | None = None,
) -> Document:
    """Return the leases of some networks, by address.

    Args:
        served: Networks and the files with their leases.
        boards: All boards of the rack.
        stand_ins: Boards by MACs that the inventory lacks.
        board: Only of this board.
        network: Only on this network.

    Returns:
        ``{"leases": [{"network", "address", "mac", "board", "kind", "state", "expires"}]}``; ``kind`` is
        ``static`` (a board's own address), ``dynamic`` or ``foreign`` (given by another server), ``state``
        also ``expired``, and ``reserved`` for a static address nobody has asked for yet.

    Raises:
        RequestRefusedError: The leases cannot be read.
    """
    owners = {mac: name for name, known in boards.items() for mac in known.macs}
    rows: list[Document] = []
    for config, journal in served:
        if network not in (None, config.name):
            continue
        records = await _read(journal, RECORD_SIZE)
        static = {known.address: name for name, known in boards.items() if known.network == config.name}
        latest = _latest(read_records(records), config)
        if config.subnet6 is not None:
            records6 = await _read(journal.with_name(LEASES6_FILE), RECORD6_SIZE)
            latest |= _latest(read_records6(records6), config)
        for text, lease in latest.items():
            owner = owners.get(lease.mac) or stand_ins.get(lease.mac)
            rows.append(_row(config.name, lease, owner, text in static))
        for address, name in static.items():
            if address is not None and address not in latest:
                mac = next(iter(boards[name].macs), None)
                rows.append(
                    {
                        "network": config.name, "address": address, "mac": mac, "board": name,
                        "kind": "static", "state": "reserved", "expires": None,
                    }
                )  # fmt: skip
    rows = [row for row in rows if board in (None, row["board"])]
    rows.sort(key=_place)
    return {"leases": list(rows)}


def _place(row: Document) -> tuple[str, int, int]:
    address = ip_address(str(row["address"]))
    return str(row["network"]), address.version, int(address)


async def _read(journal: Path, record_size: int) -> bytes:
    try:
        return await asyncio.to_thread(read_journal, journal, record_size)
    except LeaseJournalError as error:
        raise RequestRefusedError(str(error)) from error


def _latest(leases: Iterable[Lease], config: NetworkConfig) -> dict[str, Lease]:
    """The last word on each address of a network; a MAC has one address, the last it got."""
    latest: dict[str, Lease] = {}
    held: dict[str, str] = {}
    for lease in leases:
        latest[lease.text] = lease
        if lease.state is not LeaseState.DECLINED:
            held[lease.mac] = lease.text
    return {
        text: lease
        for text, lease in latest.items()
        if config.contains(ip_address(text)) and held.get(lease.mac, text) == text
    }


def _row(network: str, lease: Lease, board: str | None, static: bool) -> Document:
    held = lease.state in (LeaseState.BOUND, LeaseState.HEARD)
    state = "expired" if held and lease.expires <= time.time() else _STATES[lease.state]
    kind = "foreign" if lease.state is LeaseState.HEARD else "static" if static else "dynamic"
    return {
        "network": network, "address": lease.text, "board": board,
        "mac": None if lease.mac.startswith(DUID_KEY) else lease.mac,
        "kind": kind, "state": state, "expires": lease.expires,
    }  # fmt: skip
