"""What the netboot process tells of boot loaders, to a board that fetches as firmware and GRUB do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack, until
from test_process import lease, setup, target

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = pytest.mark.netns


def tftp(lan: Lan, name: str) -> int:
    """Fetch a file; returns curl's exit status, which is 68 for one that is not there."""
    fetch = ("curl", "-sS", "-o", "/dev/null", "--max-time", "20", f"tftp://10.77.0.1/{name}")
    return lan.client.run(*fetch, check=False).returncode


async def test_a_board_that_goes_on_to_its_disk_says_so(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """Its first stage is there while it is held, and not when it is to boot its disk."""
    shim = tmp_path / "shim"
    shim.write_bytes(b"MZ")
    rack = Rack()
    async with rack.child(setup) as child:
        child.put_artefact("id", shim)
        held = target(lan, loader=Loader.GRUB, files={"shimx64.efi": "id"})
        child.put_target(held)
        await lease(lan)
        assert await asyncio.to_thread(tftp, lan, "grub/shimx64.efi") == 0
        child.put_target(replace(held, intent=BootIntent.LOCAL))
        assert await asyncio.to_thread(tftp, lan, "grub/shimx64.efi") == 68
        await until(lambda: "notfound" in rack.kinds("tftp"))
        (event,) = [event for event in rack.events if event.kind == "notfound"]
        assert event.text.endswith(": it is to go on to its disk")
        assert event.board == "b1"


async def test_what_grub_says_by_a_name_is_told_in_words(lan: Lan, setup: NetbootSetup) -> None:
    """GRUB can only fetch: the file it asks for when a stage failed becomes a sentence."""
    rack = Rack()
    async with rack.child(setup) as child:
        child.put_target(target(lan, loader=Loader.GRUB))
        await lease(lan)
        assert await asyncio.to_thread(tftp, lan, "grub/failed-kernel-y.cfg") == 0
        await until(lambda: "failed" in rack.kinds("tftp"))
        (event,) = [event for event in rack.events if event.kind == "failed"]
        assert event.text.startswith("b1: GRUB failed with its kernel. Secure Boot is on")
