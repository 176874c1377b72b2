"""UEFI firmware and iPXE where nobody answers DHCPv4: everything up to the kernel comes by IPv6."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from lan6 import NETWORK6, prepare
from netboot_peers import Rack
from test_process_qemu import IPXE, fetched, put_step, setup
from uefi_boards import board, plug_in, switched_on

from hostler.netboot.table import DhcpMode
from hostler.virtual.config import First

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]

ONLY6 = replace(NETWORK6, dhcp=DhcpMode.OFF, range_first=None, range_last=None)
ADDRESS = "fd77::1000"


@pytest.mark.parametrize("first", [First.NETWORK6, First.HTTP6])
async def test_firmware_and_ipxe_need_no_ipv4(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, first: First
) -> None:
    """OVMF fetches iPXE by the URL of DHCPv6, iPXE its script, and that the kernel; one address all along."""
    prepare(lan)
    rack = Rack()
    async with rack.child(replace(setup, networks=(ONLY6,))) as child:
        put_step(child, tmp_path, IPXE / "ipxe.efi", "x86-uefi", "amd64")
        plug_in(lan)
        patience = ["-boot", "menu=on,splash-time=3000"]  # see hostler.virtual.qemu
        async with switched_on(lan, [*board(tmp_path, first=first), *patience]) as machine:
            await machine.until(lambda: "initrd" in fetched(rack, "http", "done"), 300)
    loaders = fetched(rack, "tftp" if first is First.NETWORK6 else "http", "done")
    assert loaders[0] == "snponly.efi"
    assert {event.data.get("address") for event in rack.events if event.kind == "ack"} == {ADDRESS}
    assert {event.board for event in rack.events if event.source in ("dhcp", "tftp", "http")} == {"b1"}
