"""Real firmware boots over IPv6, through the real netboot process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from lan6 import NETWORK6, prepare
from netboot_peers import Rack
from test_process_qemu import fetched, put_step, setup
from uefi_boards import board, plug_in, switched_on

from hostler.virtual.config import First

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]


async def test_pxe_over_ipv6_brings_ipxe(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """OVMF takes the TFTP URL out of DHCPv6; iPXE runs, asks by both kinds of DHCP, and has one address."""
    prepare(lan)
    rack = Rack()
    async with rack.child(replace(setup, networks=(NETWORK6,))) as child:
        put_step(child, tmp_path, b"no kernel", "x86-uefi", "amd64")
        plug_in(lan)
        async with switched_on(lan, board(tmp_path, first=First.NETWORK6)) as machine:
            await machine.until(lambda: "ipxe" in fetched(rack, "http", "get"), 180)
    assert fetched(rack, "tftp", "done") == ["snponly.efi"]
    given = [
        event.data
        for event in rack.events
        if event.kind == "ack" and event.data.get("family") == "ipv6" and "file" in event.data
    ]
    assert [(data["address"], data["file"]) for data in given] == [
        ("fd77::1000", "tftp://[fd77::1]/snponly.efi"),
        ("fd77::1000", "http://[fd77::1]:8067/boot/ipxe"),
    ]
    assert {event.board for event in rack.events if event.source in ("dhcp", "tftp")} == {"b1"}
