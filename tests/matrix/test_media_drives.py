"""The drives a medium is in, with SeaBIOS: a CD, a stick; and a board that asks no DHCP server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from media_board import RACK, there_and_back
from test_process_qemu import MAC, setup

from hostler.build.media import MediumTerms

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]
__all__ = ["setup"]

CD = ("-drive", "if=none,id=m,media=cdrom,file=MEDIUM", "-device", "ide-cd,drive=m,bootindex=1")
STICK = (
    "-device", "qemu-xhci", "-drive", "if=none,id=m,format=raw,file=MEDIUM",
    "-device", "usb-storage,drive=m,bootindex=1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("drive", "spared"), [(CD, {None}), (STICK, {None, "medium that brings the agent"})], ids=["cd", "stick"]
)
async def test_a_pc_with_bios_leaves_any_drive_for_its_disk(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, drive: tuple[str, ...], spared: set[str | None]
) -> None:
    """A CD is no disk to the agent, a stick that can be written is one that it spares."""
    await there_and_back(lan, setup, tmp_path, drive, MediumTerms("amd64", RACK), spared)


async def test_a_board_with_an_address_of_its_own_asks_no_dhcp_server(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """The rack knows it by the MAC that is behind its address."""
    terms = MediumTerms("amd64", RACK, macs=(MAC,), address="10.77.0.60/24", router="10.77.0.1")
    rack = await there_and_back(lan, setup, tmp_path, CD, terms, {None})
    assert rack.kinds("dhcp") == []
