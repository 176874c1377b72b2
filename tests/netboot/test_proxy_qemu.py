"""Real firmware boots through the proxy while somebody else's real DHCP server gives the addresses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from netboot_peers import NETWORK, Rack
from other_dhcp import dhcpd, dnsmasq
from test_process_qemu import MAC, OVMF, X86, fetched, powered, put_step, setup

from hostler.model import foreign_dhcp
from hostler.model.foreign_dhcp import ForeignNetwork
from hostler.netboot.table import DhcpMode

if TYPE_CHECKING:
    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

PROXY = replace(NETWORK, dhcp=DhcpMode.PROXY, range_first=None, range_last=None)


async def test_bios_gets_its_address_from_dnsmasq_and_its_boot_from_us(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """SeaBIOS and iPXE: kernel and initramfs come by HTTP to an address that we never gave."""
    rack = Rack()
    async with rack.child(replace(setup, networks=(PROXY,))) as child:
        put_step(child, tmp_path, Path("/boot/ipxe.lkrn"), "x86-bios", "amd64")
        async with powered(lan, *X86) as board:
            with dnsmasq(lan.client, "br0"):
                await board.until(lambda: "initrd" in fetched(rack, "http", "done"))
    assert "offer" in rack.kinds("dhcp")
    addresses = {event.data["address"] for event in rack.events if event.kind == "heard"}
    assert len(addresses) == 1
    assert addresses.pop().startswith("10.77.0.2")
    assert not [event for event in rack.events if event.kind == "rogue"]


async def test_bios_boots_by_another_servers_word_alone(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """With dhcp = "off" and our lines in dnsmasq: the board is known by the kernel's neighbours."""
    lines = tmp_path / "dnsmasq.conf"
    lines.write_text(foreign_dhcp.dnsmasq(ForeignNetwork("bench", PROXY.subnet, PROXY.server)))
    off = replace(PROXY, dhcp=DhcpMode.OFF)
    rack = Rack()
    async with rack.child(replace(setup, networks=(off,))) as child:
        put_step(child, tmp_path, Path("/boot/ipxe.lkrn"), "x86-bios", "amd64")
        async with powered(lan, *X86) as board:
            with dnsmasq(lan.client, "br0", f"--conf-file={lines}"):
                await board.until(lambda: "initrd" in fetched(rack, "http", "done"))
    assert not rack.kinds("dhcp")


async def test_uefi_asks_the_binl_port_beside_isc_dhcpd(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """OVMF takes its file from the acknowledgement on port 4011, and the iPXE it loads goes on by HTTP."""
    variables = tmp_path / "vars.fd"
    shutil.copy(OVMF / "OVMF_VARS_4M.fd", variables)
    flash = (
        "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}",
        "-drive", f"if=pflash,format=raw,file={variables}",
    )  # fmt: skip
    rack = Rack()
    async with rack.child(replace(setup, networks=(PROXY,))) as child:
        put_step(child, tmp_path, Path("/usr/lib/ipxe/ipxe.efi"), "x86-uefi", "amd64")
        async with powered(lan, *X86, *flash, rom=",romfile=") as board:
            with dhcpd(lan.client, "br0", tmp_path):
                await board.until(lambda: "kernel" in fetched(rack, "http", "done"), 90)
    acknowledged = [event for event in rack.events if event.source == "dhcp" and event.kind == "ack"]
    assert "snponly.efi" in [event.data.get("file") for event in acknowledged]
    assert "snponly.efi" in fetched(rack, "tftp", "done")
    assert MAC in {event.mac for event in acknowledged}
    assert "fault" not in rack.kinds("dhcp")
