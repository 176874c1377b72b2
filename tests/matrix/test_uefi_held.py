"""What UEFI firmware does with a board that waits, that goes on to its disk, and that nobody knows.

Each with the netboot process alone: what the rest of a lab would do with such a board is nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack
from test_process_qemu import fetched, setup
from uefi_boards import HELLO_SECONDS as SECONDS
from uefi_boards import agent_target, board, plug_in, switched_on

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.virtual.config import First

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
@pytest.mark.parametrize("first", [First.NETWORK, First.HTTP])
async def test_a_held_board_asks_again_until_it_may_go_on_to_its_disk(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, arch: str, first: First
) -> None:
    """It waits in a program that resets it; told "local" it gets no file and tries its disk at once."""
    plug_in(lan)
    rack = Rack()
    source = "http" if first is First.HTTP else "tftp"
    async with rack.child(setup) as child:
        target = replace(agent_target(child, arch, Loader.UKI), intent=BootIntent.HOLD, message="wait")
        child.put_target(target)
        async with switched_on(lan, board(tmp_path, arch, first=first)) as machine:
            await machine.shows(b"Hostler: b1: wait", seconds=SECONDS)
            await machine.until(lambda: fetched(rack, source, "done").count("uki.efi") >= 2, SECONDS)
            child.put_target(replace(target, intent=BootIntent.LOCAL))
            # The disk is empty, and the firmware says so.
            await machine.shows(b'failed to load Boot0001 "Disk"', seconds=SECONDS)
    assert not rack.reports


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
async def test_a_machine_nobody_knows_is_held(
    lan: Lan, setup: NetbootSetup, tmp_path: Path, arch: str
) -> None:
    """By iPXE where there is one, else by the program; both say so on the screen."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup), switched_on(lan, board(tmp_path, arch, first=First.HTTP)) as machine:
        await machine.shows(b"nobody knows this machine yet", seconds=SECONDS)
    loaders = {"amd64": "snponly.efi", "arm64": "hold-arm64.efi"}
    assert fetched(rack, "http", "done")[0] == loaders[arch]
