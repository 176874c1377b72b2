"""The agent puts the network first in real firmware's boot order, where it stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack
from test_process_qemu import fetched, setup
from uefi_boards import HELLO_SECONDS as SECONDS
from uefi_boards import agent_target, board, plug_in, switched_on

from hostler.build import disk
from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.hold_efi import hold_program
from hostler.virtual.config import First
from hostler.wire.pe import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]

SYSTEM = b"this is the disk"


def install(path: Path) -> None:
    """Put a system on a disk: a program that says so."""
    program = hold_program(Machine.X64, None, SYSTEM.decode())
    disk.fat_image(path, 64 << 20, "ESP", "00000001", {"EFI/BOOT/BOOTX64.EFI": program})


async def test_a_disk_first_board_asks_the_network_first_from_then_on(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """Its disk was empty when the agent came; with a system on it the network is asked all the same."""
    rack, disk_file = Rack(), tmp_path / "disk"
    with disk_file.open("wb") as file:
        file.truncate(64 << 20)
    command = board(tmp_path, first=First.DISK, disk=disk_file)
    plug_in(lan)
    fresh = (tmp_path / "nvram.fd").read_bytes()
    async with rack.child(setup) as child:
        target = replace(agent_target(child, loader=Loader.UKI), network_first=True)
        child.put_target(target)
        async with switched_on(lan, command) as machine:
            await machine.shows(b"of the network first in the firmware's boot order", seconds=SECONDS)
            await machine.until(lambda: rack.reports, SECONDS)
    install(disk_file)

    told = Rack()
    async with told.child(setup) as child:
        child.put_target(replace(target, intent=BootIntent.LOCAL, files={}))
        async with switched_on(lan, command) as machine:
            await machine.shows(SYSTEM, seconds=SECONDS)
    assert "discover" in told.kinds("dhcp")
    assert "uki.efi" not in fetched(told, "tftp", "done")

    (tmp_path / "nvram.fd").write_bytes(fresh)
    alone = Rack()
    async with alone.child(setup), switched_on(lan, command) as machine:
        await machine.shows(SYSTEM, seconds=SECONDS)
    assert not alone.kinds("dhcp")
