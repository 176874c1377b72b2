"""GRUB on UEFI firmware: what Secure Boot refuses, who is held, the disk, HTTP boot, strangers, arm64."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from netboot_peers import NETWORK, Rack
from test_process_qemu import MAC, fetched, setup
from uefi_boards import CACHE, HELLO_SECONDS, agent_target, board, plug_in, put, switched_on

from hostler.build.agent_image import build_agent
from hostler.consoles.scanner import Scanner
from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.hold_efi import hold_program
from hostler.virtual.config import First
from hostler.wire import fat, pe

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]


def stages(output: bytes) -> list[str]:
    """What a console's scanner finds in what a board said."""
    return [getattr(found, "name", "") for found in Scanner().feed(output)]


def told(rack: Rack, source: str, kind: str) -> list[Any]:
    return [event for event in rack.events if (event.source, event.kind) == (source, kind)]


async def test_what_is_not_signed_is_refused_and_told(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """OVMF denies iPXE; console and trace say so; at the next power-on it gets to the agent by GRUB."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup) as child:
        agent_target(child, loader=Loader.IPXE)
        async with switched_on(lan, board(tmp_path, secure=True)) as machine:
            await machine.shows(b"Access Denied", seconds=HELLO_SECONDS)
            assert "unsigned" in stages(machine.output + b"\r\n")
            await machine.until(lambda: told(rack, "tftp", "not-started"), HELLO_SECONDS)
        (event,) = told(rack, "tftp", "not-started")
        assert event.board == "b1"
        assert 'loader = "grub"' in event.text
        async with switched_on(lan, board(tmp_path, secure=True)) as machine:
            await machine.until(lambda: rack.reports, HELLO_SECONDS)
        assert rack.reports[0][3]["facts"]["secure_boot"] is True


async def test_a_stranger_with_secure_boot_is_held_by_grub(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """A machine nobody knows gets iPXE first, then GRUB, which tells it to wait."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup) as child:
        other = agent_target(child)
        child.put_target(replace(other, macs=("52:54:00:77:00:99",)))
        async with switched_on(lan, board(tmp_path, secure=True)) as machine:
            await machine.shows(b"Access Denied", seconds=HELLO_SECONDS)
        async with switched_on(lan, board(tmp_path, secure=True)) as machine:
            await machine.shows(b"nobody knows this machine", seconds=HELLO_SECONDS)
            await machine.shows(MAC.encode())
        assert not told(rack, "tftp", "failed")


async def test_a_kernel_that_is_not_signed_is_refused_and_told(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """GRUB does not start it, says so on the console and to us, and asks again; no prompt, no menu."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup) as child:
        target = agent_target(child)
        signed = build_agent("amd64", CACHE / "built", CACHE).kernel
        unsigned = tmp_path / "unsigned"
        unsigned.write_bytes(signed.read_bytes()[:-4096] + bytes(4096))
        child.put_target(replace(target, kernel=put(child, unsigned)))
        async with switched_on(lan, board(tmp_path, secure=True)) as machine:
            await machine.until(lambda: told(rack, "tftp", "failed"), HELLO_SECONDS)
            await machine.shows(b"kernel failed, asking again")
            assert "unsigned-kernel" in stages(machine.output + b"\r\n")
        assert b"grub>" not in machine.output
        assert "signed" in told(rack, "tftp", "failed")[0].text


async def test_who_is_held_goes_on_to_its_disk(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """Told to boot its disk it resets, finds no GRUB, and its firmware starts what is on the disk.

    Until then GRUB asks again and again, and renews the address at half of its time.
    """
    program = hold_program(pe.Machine.X64, None, "FROM DISK")
    plan = fat.layout([("EFI/BOOT/BOOTX64.EFI", len(program))])
    disk = tmp_path / "disk"
    disk.write_bytes(plan.head + program + bytes(plan.padding[0] + plan.tail))
    plug_in(lan)
    rack = Rack()
    async with rack.child(replace(setup, networks=(replace(NETWORK, lease_seconds=40),))) as child:
        target = replace(agent_target(child), intent=BootIntent.HOLD, message="not yet")
        child.put_target(target)
        async with switched_on(lan, board(tmp_path, disk=disk)) as machine:
            await machine.shows(b"Hostler: b1: not yet", times=3, seconds=HELLO_SECONDS)
            leased = [event.data["address"] for event in told(rack, "dhcp", "ack")]
            assert leased == 3 * leased[:1]
            child.put_target(replace(target, intent=BootIntent.LOCAL))
            await machine.shows(b"FROM DISK", seconds=HELLO_SECONDS)
        assert fetched(rack, "tftp", "done").count("grub/shimx64.efi") == 1


@pytest.mark.parametrize(("arch", "secure"), [("amd64", True), ("arm64", False)])
async def test_http_boot_comes_to_the_agent(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, arch: str, secure: bool
) -> None:
    """Firmware fetches a disk by HTTP with shim, GRUB and the agent; held at first, it asks again."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup) as child:
        target = agent_target(child, arch)
        child.put_target(replace(target, intent=BootIntent.HOLD, message="not yet"))
        async with switched_on(lan, board(tmp_path, arch, secure=secure, first=First.HTTP)) as machine:
            await machine.shows(b"Hostler: b1: not yet", seconds=HELLO_SECONDS)
            child.put_target(target)
            await machine.until(lambda: rack.reports, 2 * HELLO_SECONDS)
        assert rack.reports[0][3]["facts"]["secure_boot"] is secure
        assert not rack.kinds("tftp")


async def test_aavmf_comes_to_the_agent_by_pxe(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """The same way on arm64."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup) as child:
        agent_target(child, "arm64")
        async with switched_on(lan, board(tmp_path, "arm64")) as machine:
            await machine.until(lambda: rack.reports, HELLO_SECONDS)
        assert rack.reports[0][3]["facts"]["secure_boot"] is False
        assert "grub/initrd" in fetched(rack, "tftp", "done")
