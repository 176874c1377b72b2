"""UEFI firmware boots by HTTP, through the real netboot process, a kernel image made for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from netboot_peers import NETWORK, Rack
from other_dhcp import dnsmasq
from test_process_qemu import fetched, setup
from uefi_boards import HELLO_SECONDS, agent_target, board, plug_in, switched_on

from hostler.model.first_stages import Loader
from hostler.netboot.table import DhcpMode
from hostler.virtual.config import First

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

PROXY = replace(NETWORK, dhcp=DhcpMode.PROXY, range_first=None, range_last=None)


async def test_http_boot_brings_the_agent_beside_another_dhcp_server(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """OVMF takes the URL from an offer without an address; stub, kernel and initramfs are one file."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(replace(setup, networks=(PROXY,))) as child:
        agent_target(child, loader=Loader.UKI)
        with dnsmasq(lan.client, "br0"):
            async with switched_on(lan, board(tmp_path, first=First.HTTP)) as machine:
                await machine.until(lambda: rack.reports, HELLO_SECONDS)
    assert rack.reports[0][:3] == ("hello", "b1", "boot-1")
    assert fetched(rack, "http", "head") == ["uki.efi"]
    assert fetched(rack, "http", "done") == ["uki.efi"]
    assert not rack.kinds("tftp")
    offers = [event for event in rack.events if event.kind == "offer"]
    assert {event.data["file"] for event in offers} == {"http://10.77.0.1:8067/boot/uki.efi"}
