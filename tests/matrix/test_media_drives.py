"""A medium in a CD drive and on a stick, an address of the board's own, and UEFI on arm64."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from media_board import AGENT_SECONDS, RACK, medium, there_and_back
from netboot_peers import Rack
from test_process_qemu import MAC, setup
from uefi_boards import board, plug_in, switched_on

from hostler.build.disk import fat_image
from hostler.build.media import MediumTerms
from hostler.model.boot import BootIntent
from hostler.netboot.hold_efi import hold_program
from hostler.netboot.table import Target
from hostler.virtual import uefi_nvram
from hostler.virtual.config import First
from hostler.wire.pe import Machine

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


async def test_a_board_with_uefi_on_arm64_leaves_for_its_disk(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """Powered on for its disk, AAVMF starts the medium; its agent has the firmware start the disk instead."""
    image, disk = tmp_path / "medium.iso", tmp_path / "disk"
    await asyncio.to_thread(medium, image, MediumTerms("arm64", RACK))
    program = hold_program(Machine.ARM64, None, "this is the disk")
    fat_image(disk, 64 << 20, "ESP", "00000001", {"EFI/BOOT/BOOTAA64.EFI": program})
    command = [
        *board(tmp_path, "arm64", first=First.MEDIA, disk=disk),
        "-drive", f"if=none,id=m,format=raw,readonly=on,file={image}",
        "-device", f"virtio-blk-pci,drive=m,addr={uefi_nvram.MEDIA_SLOT:#x}",
    ]  # fmt: skip
    rack = Rack()
    plug_in(lan)
    async with rack.child(setup) as child:
        child.put_target(Target("b1", "arm64-uefi", "arm64", (MAC,), intent=BootIntent.LOCAL))
        async with switched_on(lan, command) as machine:
            await machine.shows(b"this is the disk", seconds=2 * AGENT_SECONDS)
            assert b'UEFI starts Boot0001 "Disk"' in machine.output
    answers = [event.data.get("answer") for event in rack.events if event.data.get("file") == "join"]
    assert answers == ["local"]
