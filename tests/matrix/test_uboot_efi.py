"""U-Boot as EFI firmware brings the agent, by GRUB and by a unified kernel image; no lab around it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack
from test_process_qemu import ARM, powered, setup
from test_uboot_qemu import PXE_AND_DHCP, flash
from uefi_boards import agent_target

from hostler.model.first_stages import Loader
from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu, pytest.mark.matrix]


@pytest.mark.parametrize("loader", [Loader.GRUB, Loader.UKI])
async def test_uboot_starts_an_efi_program_that_brings_the_agent(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, loader: Loader, proving
) -> None:
    """It finds no configuration of its own, asks once more as UEFI firmware, and the agent says hello."""
    rack = Rack()
    with proving(f"uboot-{loader}") as proof:
        on = TraceEvent(time.time(), "power", "on", "QEMU is started")
        spoke = await brings_the_agent(lan, setup, tmp_path, loader, rack)
        hello = TraceEvent(spoke, "agent", "hello", "the agent speaks")
        proof.events = [event.to_json() for event in (on, *rack.events, hello)]


async def brings_the_agent(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, loader: Loader, rack: Rack
) -> float:
    """Power a board on and wait for its agent; return when it spoke (Unix time)."""
    async with rack.child(setup) as child:
        child.put_target(replace(agent_target(child, "arm64", loader), platform="arm64-uboot"))
        machine = [*ARM, *flash(tmp_path, **PXE_AND_DHCP)]
        machine[machine.index("512")] = "1024"
        async with powered(lan, *machine) as board:
            await board.shows(b"starting the agent", seconds=300)
            await board.until(lambda: "hello" in [report[0] for report in rack.reports], 60)
            return time.time()
