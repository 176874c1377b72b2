"""A U-Boot goes on receiving after more packets than its ring holds: real U-Boot, real QEMU, a real tap."""

from __future__ import annotations

import asyncio
import shutil
import sys
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from hostler.virtual.board import VirtualBoard
from hostler.virtual.config import BoardConfig, First, Kind
from hostler.virtual.disks import DiskConfig, DiskKind
from hostler.virtual.network import open_network
from hostler.virtual.qemu import UBOOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.netns, pytest.mark.qemu]
SERVER = IPv4Interface("10.78.0.1/24")
MAC = "52:54:00:78:00:01"
# More than twice U-Boot's ring of 32, all of it waiting on the tap when its driver starts.
BURST = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(200):
    s.sendto(b"x", ("10.78.0.2", 9))
"""


async def test_u_boot_hears_an_answer_after_a_burst(tmp_path: Path) -> None:
    """Packets that fill the receive ring at once do not make the card deaf: the answer after them arrives."""
    if not UBOOT.exists() or not shutil.which("qemu-system-aarch64"):
        pytest.skip("needs u-boot-qemu and qemu-system-arm")
    disks = (DiskConfig(DiskKind.VIRTIO, 1 << 20, ""),)
    config = BoardConfig(
        "b1", Kind.ARM64_UBOOT, 1, MAC, UUID(int=1), "B1", ("127.0.0.1", 0), 256, 1, disks, First.DISK
    )
    network = await open_network("br0", SERVER, ["port1"])
    try:
        neighbour = f"neigh replace 10.78.0.2 lladdr {MAC} dev br0"
        await (await asyncio.create_subprocess_exec(*network.enter(["ip", *neighbour.split()]))).wait()
        board = VirtualBoard(config, tmp_path / "b1", network, "tcg", "unsafe")
        server = await board.line.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        running = asyncio.create_task(board.run())
        try:
            async with asyncio.timeout(120):
                board.supply(True)
                await reader.readuntil(b"Hit any key")
                writer.write(b" ")
                await reader.readuntil(b"=> ")
                burst = await asyncio.create_subprocess_exec(*network.enter([sys.executable, "-c", BURST]))
                assert await burst.wait() == 0
                writer.write(b"setenv ipaddr 10.78.0.2; ping 10.78.0.1\r")
                said = await reader.readuntil(b" alive")
            assert b"host 10.78.0.1 is alive" in said
        finally:
            running.cancel()
            await asyncio.wait([running])
            writer.close()
            server.close()
    finally:
        await network.close()
