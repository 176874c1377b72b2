"""The list of leases: who has which address, from what the DHCP server left on disk."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING

import pytest
from netboot_peers import NETWORK
from test_board_tcp import journal

from hostler.link.port import RequestRefusedError
from hostler.model.board import Board
from hostler.model.trace import TraceEvent
from hostler.netboot.leases import DUID_KEY, Lease, LeaseState
from hostler.rack.lease_list import list_leases
from hostler.rack.stand_ins import StandIns

if TYPE_CHECKING:
    from pathlib import Path

MAC, OTHER, THIRD = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"


def lease(address: str, mac: str, state: LeaseState = LeaseState.BOUND, left: float = 600.0) -> Lease:
    return Lease(socket.inet_aton(address), mac, state, time.time() + left)


def boards() -> dict[str, Board]:
    return {
        "b1": Board("b1", "pc", "bench", (MAC,), address="10.77.0.11"),
        "b2": Board("b2", "pc", "bench", (OTHER,)),
        "b3": Board("b3", "pc", "bench", (THIRD,), address="10.77.0.13"),
    }


async def test_addresses_are_listed_with_their_boards(tmp_path: Path) -> None:
    """Static, dynamic, another server's; ended ones say so; a static one nobody asked for is reserved."""
    path = journal(
        tmp_path / "leases",
        lease("10.77.0.101", OTHER), lease("10.77.0.11", MAC), lease("10.77.0.102", OTHER),
        lease("10.77.0.101", OTHER, left=-1.0), lease("10.77.0.150", "52:54:00:00:00:99", LeaseState.HEARD),
        lease("10.77.0.120", "52:54:00:00:00:98", LeaseState.DECLINED),
    )  # fmt: skip
    answer = await list_leases([(NETWORK, path)], boards(), {"52:54:00:00:00:99": "b2"})
    rows = answer["leases"]
    assert isinstance(rows, list)
    assert [(row["address"], row["board"], row["kind"], row["state"]) for row in rows] == [  # type: ignore[index,call-overload]
        ("10.77.0.11", "b1", "static", "bound"),
        ("10.77.0.13", "b3", "static", "reserved"),
        ("10.77.0.101", "b2", "dynamic", "expired"),
        ("10.77.0.120", None, "dynamic", "declined"),
        ("10.77.0.150", "b2", "foreign", "bound"),
    ]
    (only,) = (await list_leases([(NETWORK, path)], boards(), {}, board="b1"))["leases"]  # type: ignore[misc]
    assert only["address"] == "10.77.0.11"  # type: ignore[index,call-overload]
    far = replace(NETWORK, name="far", behind=IPv4Network("10.88.0.0/24"))
    assert (await list_leases([(NETWORK, path), (far, path)], boards(), {}, network="far")) == {"leases": []}


async def test_ipv6_addresses_are_listed_after_the_others(tmp_path: Path) -> None:
    """Each with its board; of a client that tells no MAC there is none, and its board all the same."""
    path = journal(tmp_path / "leases", lease("10.77.0.101", OTHER))
    nameless = DUID_KEY + "07" * 20
    journal(
        tmp_path / "leases6",
        *(
            Lease(IPv6Address(text).packed, key, LeaseState.BOUND, time.time() + 600)
            for text, key in (("fd77::1001", OTHER), ("fd77::1000", nameless), ("fd99::1", MAC))
        ),
    )
    config = replace(NETWORK, address6=IPv6Interface("fd77::1/64"))
    rows = (await list_leases([(config, path)], boards(), {nameless: "b1"}))["leases"]
    assert isinstance(rows, list)
    assert [(row["address"], row["board"], row["mac"]) for row in rows if row["state"] == "bound"] == [  # type: ignore[index,call-overload]
        ("10.77.0.101", "b2", OTHER),
        ("fd77::1000", "b1", None),
        ("fd77::1001", "b2", OTHER),
    ]


async def test_leases_that_cannot_be_read_are_an_error_with_the_file(tmp_path: Path) -> None:
    """Not an empty list, which would be a lie."""
    (tmp_path / "leases").write_bytes(b"something else entirely")
    with pytest.raises(RequestRefusedError, match="leases"):
        await list_leases([(NETWORK, tmp_path / "leases")], boards(), {})


def test_a_mac_stands_for_its_board_until_it_is_a_stranger() -> None:
    """What netboot traces says whose an unknown MAC is."""
    seen = StandIns()
    seen.note(TraceEvent(1.0, "dhcp", "discover", "", board="b1", mac=OTHER))
    assert seen.macs("b1") == (OTHER,)
    seen.note(TraceEvent(2.0, "dhcp", "conflict", "", board="b2", mac=OTHER))
    assert seen.boards == {OTHER: "b1"}
    seen.note(TraceEvent(3.0, "dhcp", "discover", "", mac=OTHER))
    assert seen.macs("b1") == ()
    seen.note(TraceEvent(4.0, "http", "get", "", board="b1", mac=OTHER))
    assert seen.macs("b1") == ()
    seen.note(TraceEvent(5.0, "http", "identified", "", board="b1", mac=OTHER))
    assert seen.macs("b1") == (OTHER,)
