"""The packets of boots by real firmware, each with what it fetches, read by Wireshark's own reader."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack
from test_process_qemu import ARM, X86, fetched, powered, put_step, setup, uboot_flash
from wireshark import INBOUND, OUTBOUND, file_transfers, http_talks, malformed, said

from hostler.netboot.hold_image import HOLD_IMAGE

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

DORA = [(INBOUND, "1"), (OUTBOUND, "2"), (INBOUND, "3"), (OUTBOUND, "5")]
"""DISCOVER, OFFER, REQUEST and ACK."""
TOKEN = b"t0ken"


@pytest.mark.parametrize("platform", ["x86-bios", "arm64-uboot"])
async def test_packets_show_the_boot(lan: Lan, setup: NetbootSetup, tmp_path: Path, platform: str) -> None:
    """SeaBIOS with iPXE by HTTP, U-Boot by TFTP: address, each file, question and answer, and no secret."""
    rack = Rack()
    pc = platform == "x86-bios"
    machine = X86 if pc else (*ARM, *uboot_flash(tmp_path))
    source, last = ("http", "initrd") if pc else ("tftp", "boot/kernel")
    async with rack.child(setup) as child:
        put_step(child, tmp_path, HOLD_IMAGE, platform, "amd64" if pc else "arm64")
        async with powered(lan, *machine) as board:
            await board.until(lambda: last in fetched(rack, source, "done"), 120)
    # The child has ended, and with it all that it heard is on the disk.
    file = setup.state_dir / "packets" / "b1" / "boot-1.pcapng"
    assert TOKEN not in file.read_bytes()
    assert malformed(file) == []
    messages = said(file, "dhcp", "dhcp.option.dhcp")
    assert [one for one in dict.fromkeys(messages) if one in DORA] == DORA
    transfers = file_transfers(file)
    assert {one.name for one in transfers} >= {*fetched(rack, "tftp", "read")}
    for name in fetched(rack, "tftp", "done"):
        assert [one for one in transfers if one.name == name and "3" in one.by_server and "4" in one.by_board]
    talks = [(re.sub("[0-9a-f]{64}", "ID", uri), code) for uri, code in http_talks(file)]
    wanted = ["/boot/ipxe", "/boot/file/ID", "/boot/config.cpio"] if pc else []
    assert {uri for uri, code in talks if code == "200"} >= {*wanted}
