"""A board that boots from a medium: real firmware, the real agent and the real netboot process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from media_board import RACK, there_and_back
from test_process_qemu import setup

from hostler.build.media import MediumTerms

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

pytestmark = [pytest.mark.netns, pytest.mark.qemu]
__all__ = ["setup"]


async def test_a_pc_with_bios_gets_its_agent_from_a_medium_and_leaves_for_its_disk(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """SeaBIOS never asks the network: the agent joins, works, and restarts into the disk, past the medium."""
    drive = (
        "-drive", "if=none,id=m,format=raw,readonly=on,file=MEDIUM",
        "-device", "virtio-blk-pci,drive=m,bootindex=1",
    )  # fmt: skip
    spared = {None, "medium that brings the agent"}
    rack = await there_and_back(lan, setup, tmp_path, drive, MediumTerms("amd64", RACK), spared)
    assert "offer" in rack.kinds("dhcp")
