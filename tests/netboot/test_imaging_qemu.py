"""One disk on a real driver: the agent's kernel, the real netboot process. `make matrix` has every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imaging_board import MIB, ImagingBoard, changed_image, imported, noise_image
from test_process_qemu import setup

from hostler.virtual.disks import DiskConfig, DiskKind

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

pytestmark = [pytest.mark.netns, pytest.mark.qemu]
__all__ = ["setup"]


async def test_an_nvme_disk_is_written_and_then_only_what_differs(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """An image over dirt, then its next version: what is behind the disk is each time the image."""
    board = ImagingBoard(lan, setup, tmp_path, [DiskConfig(DiskKind.NVME, 32 * MIB, "S1")])
    old, new = tmp_path / "old", tmp_path / "new"
    noise_image(old, 24 * MIB, [range(8, 12)])
    changed = changed_image(new, old, 0.05)
    indices = [imported(board.store(), path) for path in (old, new)]
    board.content().write_bytes(b"\xa5" * 32 * MIB)
    async with board.served(), board.powered() as machine:
        for image, index, kept in ((old, indices[0], 0), (new, indices[1], 20 * MIB - changed)):
            board.order_install(index)
            verb, report = await board.outcome(machine)
            assert verb == "done", report
            assert report["result"]["kept_bytes"] == kept
            assert board.content().read_bytes()[: 24 * MIB] == image.read_bytes()
