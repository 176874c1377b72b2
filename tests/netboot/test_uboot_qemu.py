"""U-Boot as it is shipped, with its own boot targets, through the real netboot process."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from netboot_peers import Rack
from test_process_qemu import ARM, MAC, fetched, powered, put_step, setup
from uefi_boards import put

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.hold_image import HOLD_IMAGE
from hostler.virtual import uboot_env
from hostler.virtual.qemu import UBOOT

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

OTHER = UUID("52540000-7700-4000-8000-0000000000ff")
PXE_AND_DHCP = {
    # Its boot target "pxe" as other boards have it; that of qemu_arm64 was left out.
    "bootcmd_pxe": "setenv autoload no; dhcp; setenv autoload; if pxe get; then pxe boot; fi",
    "bootcmd": "run bootcmd_pxe; run bootcmd_dhcp; echo went on; sleep 600",
}


def flash(folder: Path, **changes: str) -> tuple[str, ...]:
    """A flash with U-Boot's own environment, and some changes to it."""
    defaults = uboot_env.default_environment(UBOOT.read_bytes())
    path = folder / "environment"
    with path.open("wb") as file:
        file.write(uboot_env.encode({**defaults, "ethaddr": MAC, "bootdelay": "0", **changes}))
        file.truncate(64 << 20)
    return "-drive", f"if=pflash,unit=1,format=raw,file={path}"


def not_found(rack: Rack) -> list[str]:
    return [event.text.split()[2] for event in rack.events if event.kind == "notfound"]


async def test_uboot_without_pxe_runs_a_script(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """Its boot target ``dhcp`` alone: a step with a device tree of its own, then its disk."""
    tree = tmp_path / "tree.dtb"
    subprocess.run([*ARM[:2], f"virt,dumpdtb={tree}", *ARM[3:]], check=True, capture_output=True, timeout=60)
    rack = Rack()
    board_flash = flash(
        tmp_path, bootcmd="run bootcmd_dhcp; echo went on; sleep 600", fdt_addr_r="0x43000000"
    )
    async with rack.child(setup) as child:
        target = put_step(child, tmp_path, HOLD_IMAGE, "arm64-uboot", "arm64")
        child.put_target(replace(target, device_tree="tree.dtb", files={"tree.dtb": put(child, tree)}))
        async with powered(lan, *ARM, *board_flash, restarts=True) as board:
            await board.shows(b"Flattened Device Tree blob at 43000000")
            await board.shows(b"Starting kernel")  # one that resets the board
            child.put_target(replace(target, intent=BootIntent.LOCAL))
            await board.shows(b"b1: booting from the local disk")
            await board.shows(b"\nwent on")
            # What the console shows and what is told of the network come on ways of their own.
            await board.until(lambda: fetched(rack, "tftp", "done").count("boot.scr.uimg") == 2)
    assert fetched(rack, "tftp", "done") == [
        "boot.scr.uimg", "boot/kernel", "boot/fdt.dtb", "boot/initrd", "boot.scr.uimg"
    ]  # fmt: skip


async def test_uboot_looks_under_every_name_and_then_for_an_efi_program(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """A class with ``uki`` has no pxelinux.cfg and no script: U-Boot asks again, as UEFI firmware."""
    rack = Rack()
    board_flash = flash(tmp_path, pxeuuid=str(OTHER), **PXE_AND_DHCP)
    async with rack.child(setup) as child:
        target = put_step(child, tmp_path, HOLD_IMAGE, "arm64-uboot", "arm64")
        child.put_target(
            replace(target, loader=Loader.UKI, intent=BootIntent.HOLD, message="nobody has claimed it")
        )
        async with powered(lan, *ARM, *board_flash, restarts=True) as board:
            await board.shows(b"nobody has claimed it")
            child.put_target(replace(target, loader=Loader.UKI, intent=BootIntent.LOCAL))
            await board.shows(b"\nwent on")
            # The DHCP answer names the file too: what is waited for is that U-Boot asks for it.
            await board.until(lambda: "no-efi-program" in not_found(rack))
    missing = not_found(rack)
    names = [name.removeprefix("pxelinux.cfg/") for name in missing if name.startswith("pxelinux.cfg/")]
    assert names[:12] == [
        str(OTHER), "01-52-54-00-77-00-02",
        "0A4D0064", "0A4D006", "0A4D00", "0A4D0", "0A4D", "0A4", "0A", "0", "default-arm", "default",
    ]  # fmt: skip
    assert fetched(rack, "tftp", "done") == ["uki.efi"]
    assert missing[-1] == "no-efi-program"
