"""The real agent captures a disk under a real kernel, and cleans the image without writing to the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import zstandard
from capturing_rack import CapturingRack, capturing, order_capture
from imaging_board import ImagingBoard
from test_process_qemu import setup

from disk_files import MIB, Part, disk_of, ext4, piece, sound, text_in, tool
from hostler.images.store import ImageStore
from hostler.model.cleaning import DEFAULT
from hostler.netboot.setup import NetbootSetup
from hostler.virtual.disks import DiskConfig, DiskKind
from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]


async def test_a_system_is_cleaned_in_its_image_alone(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """A root that lost its power is brought in order and cleaned on the way; the disk keeps every byte."""
    files = tmp_path / "files"
    for name, text in {
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "etc/ssh/ssh_host_ed25519_key": "the private key of one machine\n",
        "var/lib/dhcp/dhclient.eth0.leases": "lease {}\n",
        "var/lib/cloud/instances/i-1/user-data.txt": "password: of one machine\n",
        "srv/data": "everybody's data\n",
    }.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    root = ext4(tmp_path / "root", 64, files)
    tool("debugfs", "-w", "-R", "feature needs_recovery", root)
    seed = tmp_path / "seed"
    seed.write_bytes(bytes(2 * MIB))
    tool("mkfs.fat", "-n", "CIDATA", seed)
    store = ImageStore(setup.store)
    board = ImagingBoard(
        lan,
        setup,
        tmp_path,
        [DiskConfig(DiskKind.VIRTIO, 128 * MIB, "", None, None, ())],
        rack=CapturingRack(store),
    )
    async with capturing(board):
        content = board.content()
        places = disk_of(content, 128, [Part(64, root), Part(2, seed)])
        before = hashlib.sha256(content.read_bytes()).digest()
        async with board.powered() as machine:
            await order_capture(board, *DEFAULT)
            kind, report = await board.outcome(machine)
    assert kind == "done", report
    result = report["result"]
    assert hashlib.sha256(content.read_bytes()).digest() == before
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(result["size"])
        for chunk in store.index(result["index"]):
            file.seek(chunk.offset)
            frame = store.chunk_path(chunk.digest).read_bytes()
            file.write(zstandard.ZstdDecompressor().decompress(frame))
    assert result["size"] < 68 * MIB
    assert b"of one machine" not in image.read_bytes()
    after = piece(image, places[0], tmp_path / "after")
    sound(after)
    assert text_in(after, "/srv/data") == "everybody's data\n"
    assert text_in(after, "/etc/machine-id") == ""
    assert "/etc/ssh/ssh_host_ed25519_key" in result["cleaned"]
    assert "the seed's partition" in result["cleaned"]
    assert result["partitions"][0]["note"] == "", result["partitions"]
