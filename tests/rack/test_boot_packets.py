"""Packets of boots as the rack hands them out and removes them."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from hostler.link.port import RequestRefusedError
from hostler.netboot.packet_files import CUT, FOLDER, PacketFiles
from hostler.rack.boot_packets import BootPackets
from hostler.wire.pcapng import lost, packet, section, whole

if TYPE_CHECKING:
    from pathlib import Path

SECTION = section(["srv0"], 2048, "what they said")
FRAME = bytes(64)
BLOCK = packet(0, 1_700_000_000_000_000_000, FRAME, 1500, outgoing=True)


def files(state: Path, place: str = "lab", **bounds: int) -> PacketFiles:
    return PacketFiles(state / place / FOLDER, SECTION, **bounds)


async def read(state: Path, boot: str = "boot-1") -> bytes:
    found = await BootPackets(state, lambda: 60.0).read("b1", {"boot": boot})
    return base64.b64decode(str(found["data"]))


async def test_a_boot_over_two_networks_is_one_file(tmp_path: Path) -> None:
    """Sections of several processes follow each other, and what is half written at the moment is left out."""
    files(tmp_path, "a").add("b1", "boot-1", BLOCK)
    files(tmp_path, "b").add("b1", "boot-1", BLOCK + lost(0, 1, 7) + BLOCK[:20])
    assert await read(tmp_path) == SECTION + BLOCK + SECTION + BLOCK + lost(0, 1, 7)


@pytest.mark.parametrize("boot", ["boot-2", "../b2/boot-1", "/etc/passwd", "", ".."])
async def test_nothing_else_is_handed_out(tmp_path: Path, boot: str) -> None:
    """Only the packets of this board's boots; the refusal says why there may be none."""
    kept = files(tmp_path)
    kept.add("b1", "boot-1", BLOCK)
    kept.add("b2", "boot-1", BLOCK)
    with pytest.raises(RequestRefusedError, match="CAP_NET_RAW"):
        await read(tmp_path, boot)


async def test_what_is_old_or_of_a_board_that_is_gone_is_removed(tmp_path: Path) -> None:
    """A file that nothing was added to for longer than packets are kept; a board with all its boots."""
    kept = files(tmp_path)
    for board, boot in (("b1", "boot-1"), ("b1", "boot-2"), ("b2", "boot-3")):
        kept.add(board, boot, BLOCK)
    os.utime(tmp_path / "lab" / FOLDER / "b1" / "boot-1.pcapng", (1000, 1000))
    packets = BootPackets(tmp_path, lambda: 60.0)
    packets.sweep(2000.0)
    await packets.forget("b2")
    assert [path.name for path in tmp_path.glob("**/*.pcapng")] == ["boot-2.pcapng"]
    kept.add("b2", "boot-3", BLOCK)  # it is back, and the same process goes on
    assert (tmp_path / "lab" / FOLDER / "b2" / "boot-3.pcapng").read_bytes() == SECTION + BLOCK


async def test_boards_may_be_dropped_while_what_is_old_is_removed(tmp_path: Path) -> None:
    """A folder that vanishes under it does not end what removes old packets."""
    for board in range(80):
        folder = tmp_path / "lab" / FOLDER / f"b{board}"
        folder.mkdir(parents=True)
        for boot in range(20):
            (folder / f"boot-{boot}.pcapng").touch()
    packets = BootPackets(tmp_path, lambda: 60.0)
    sweeping = asyncio.create_task(asyncio.to_thread(packets.sweep, 1.0))
    for board in reversed(range(80)):
        await packets.forget(f"b{board}")
    await sweeping
    assert not list((tmp_path / "lab" / FOLDER).iterdir())


def test_a_boot_that_asks_for_ever_has_its_begin(tmp_path: Path) -> None:
    """All after the first packet too much are left out, also by the next process, and the file says so."""
    bound = len(SECTION) + 3 * len(BLOCK) + len(lost(0, 1, 7))
    kept = files(tmp_path, most_a_boot=bound)
    for blocks in (2 * BLOCK, 3 * BLOCK, lost(0, 1, 7), BLOCK):
        kept.add("b1", "boot-1", blocks)
    files(tmp_path, most_a_boot=2 * bound).add("b1", "boot-1", BLOCK)
    file = tmp_path / "lab" / FOLDER / "b1" / "boot-1.pcapng"
    assert file.read_bytes() == SECTION + 3 * BLOCK + CUT
    told = subprocess.run(["capinfos", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr
    assert re.search(r"Number of packets: +3\n", told.stdout)


def test_the_oldest_boots_make_room(tmp_path: Path) -> None:
    """In all there is so much; what was added to last is kept, also over a restart."""
    one = len(SECTION) + len(BLOCK)
    for number in range(5):
        files(tmp_path, most_in_all=2 * one).add("b1", f"boot-{number}", BLOCK)
        os.utime(tmp_path / "lab" / FOLDER / "b1" / f"boot-{number}.pcapng", (number, number))
    left = sorted(path.name for path in tmp_path.glob("**/*.pcapng"))
    assert left == ["boot-3.pcapng", "boot-4.pcapng"]


def test_whole_blocks_are_told_from_a_broken_end() -> None:
    """Every cut of a file is mended to the last block that is there whole."""
    data = SECTION + BLOCK
    ends = {whole(data[:length]) for length in range(len(data) + 1)}
    assert max(ends) == len(data)
    assert whole(data[:-1]) == len(SECTION)
    assert whole(BLOCK + b"\x06\0\0\0\x01\0\0\0aaaaaaaa") == len(BLOCK)
