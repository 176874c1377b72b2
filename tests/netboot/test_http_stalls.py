"""HTTP over a way that loses large packets, with the real netboot process, a real kernel's TCP and curl."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from netboot_peers import Rack, setup_in, until
from test_dhcp_server import udhcpc

from hostler.model.boot import BootIntent
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import Target
from hostler.wire.tcp_info import LENGTH, TcpInfo
from netns import CLIENT_INTERFACE, Lan

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns

KERNEL = os.urandom(200_000)
KERNEL_ID = hashlib.sha256(KERNEL).hexdigest()


@pytest.fixture
def setup(lan: Lan, tmp_path: Path):
    with setup_in(lan, tmp_path) as made:
        yield made


def told(rack: Rack) -> list[Any]:
    return [event for event in rack.events if (event.source, event.kind) == ("http", "mtu")]


@pytest.mark.parametrize("narrow", [True, False])
async def test_large_packets_that_are_lost_are_told_once(
    lan: Lan, tmp_path: Path, setup: NetbootSetup, narrow: bool
) -> None:
    """The script comes through and the kernel does not: the trace says so while the board still waits."""
    if narrow:
        lan.client.run(
            "nft",
            "add table netdev tunnel; add chain netdev tunnel in"
            f" {{ type filter hook ingress device {CLIENT_INTERFACE} priority 0; }};"
            " add rule netdev tunnel in meta length > 1400 drop",
        )
    rack = Rack()
    async with rack.child(setup) as child:
        (tmp_path / "kernel").write_bytes(KERNEL)
        child.put_artefact(KERNEL_ID, tmp_path / "kernel")
        child.put_target(
            Target(
                "b1",
                "x86-bios",
                "amd64",
                (lan.client_mac,),
                intent=BootIntent.STEP,
                boot="boot-1",
                token="t0ken",
                kernel=KERNEL_ID,
                initrd=KERNEL_ID,
            )
        )
        assert await asyncio.to_thread(udhcpc, lan, tmp_path)
        url = f"http://10.77.0.1:8067/boot/file/{KERNEL_ID}"
        script = await asyncio.to_thread(lan.client.run, "curl", "-sSf", "http://10.77.0.1:8067/boot/ipxe")
        assert KERNEL_ID in script.stdout
        fetching = lan.client.popen("curl", "-sS", "--max-time", "60", "-o", str(tmp_path / "fetched"), url)
        try:
            if narrow:
                await until(lambda: told(rack), 30)
                (event,) = told(rack)
                assert event.board == "b1"
                assert event.data["packet"] >= 1400
                assert "packets of that size are lost on the way" in event.text
            else:
                assert await asyncio.to_thread(fetching.wait, 20) == 0
                assert (tmp_path / "fetched").read_bytes() == KERNEL
        finally:
            fetching.kill()
            fetching.wait(5)
    assert len(told(rack)) == int(narrow)


@pytest.mark.parametrize(
    ("tries", "segment", "unacknowledged", "acknowledged", "lost"),
    [
        (4, 1448, 10, 300, True),
        (3, 1448, 10, 300, False),  # a lost packet, so far
        (9, 1448, 0, 300, False),  # nothing is on the way
        (9, 536, 4, 300, False),  # not for its size
        (9, 1448, 4, 900_000, False),  # large packets came through before: the board is gone
    ],
)
def test_only_large_packets_that_never_arrive_are_a_matter_of_size(
    tries: int, segment: int, unacknowledged: int, acknowledged: int, lost: bool
) -> None:
    """What the kernel counts tells a narrow way from a lost packet, a closed window and a dead board."""
    assert TcpInfo(tries, segment, unacknowledged, acknowledged).large_lost is lost


def test_the_kernels_structure_is_read_at_the_right_places() -> None:
    """Bytes of another length or layout are not guessed at."""
    data = bytearray(LENGTH)
    data[2] = 5
    data[16:20] = (1448).to_bytes(4, "little")
    data[24:28] = (7).to_bytes(4, "little")
    data[100:104] = (3).to_bytes(4, "little")
    data[120:128] = (99).to_bytes(8, "little")
    assert TcpInfo.parse(bytes(data)) == TcpInfo(5, 1448, 7, 99, 3)
    assert TcpInfo.parse(bytes(data[:104])) is None
