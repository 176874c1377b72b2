"""A PC with BIOS whose class says PXELINUX, through the real netboot process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack
from test_process_qemu import X86, fetched, powered, put_step, setup
from uefi_boards import CACHE

from hostler.build.loaders import build_loaders
from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader

if TYPE_CHECKING:
    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]


async def test_a_pc_is_held_by_pxelinux_and_then_boots_by_http(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """Its ROM is iPXE and PXELINUX comes all the same, once; it waits, asks again, and starts the kernel."""
    rack = Rack()
    async with rack.child(setup) as child:
        target = put_step(child, tmp_path, Path("/boot/ipxe.lkrn"), "x86-bios", "amd64")
        loaders = build_loaders("amd64", CACHE / "built", CACHE)
        for name, path in loaders.items():
            child.put_artefact(name, path)
        target = replace(target, loader=Loader.PXELINUX, files={name: name for name in loaders})
        child.put_target(replace(target, intent=BootIntent.HOLD, message="nobody has claimed it"))
        async with powered(lan, *X86) as board:
            await board.shows(b"nobody has claimed it")
            child.put_target(target)
            await board.shows(b"b1: booting the agent")
            # This kernel is iPXE once more: it takes its command line for a command.
            await board.shows(b"console=ttyS0: command not found")
    tree = [name.removeprefix("pxelinux/") for name in fetched(rack, "http", "done")]
    assert tree == [
        "ldlinux.c32", "pxelinux.cfg/default",
        "ldlinux.c32", "pxelinux.cfg/again-1", "boot/kernel", "boot/config", "boot/initrd",
    ]  # fmt: skip
    assert fetched(rack, "tftp", "done") == ["pxelinux/lpxelinux.0"]
    assert rack.kinds("dhcp").count("ack") == 1
