"""A board that boots from a medium: real firmware, the real agent and the real netboot process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from media_board import AGENT_SECONDS, medium, on_disk, says_from_disk
from netboot_peers import Rack
from test_process_qemu import MAC, powered, setup

from hostler.model.boot import BootIntent
from hostler.netboot.table import Target

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

pytestmark = [pytest.mark.netns, pytest.mark.qemu]
__all__ = ["setup"]


async def test_a_pc_with_bios_gets_its_agent_from_a_stick_and_leaves_for_its_disk(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """SeaBIOS never asks the network: the stick's agent joins, works, and restarts into the disk, once."""
    stick = await asyncio.to_thread(medium, "amd64", tmp_path, "http://10.77.0.1:8067")
    drives = (
        "-drive", f"if=none,id=m,format=raw,readonly=on,file={stick}",
        "-device", "virtio-blk-pci,drive=m,bootindex=1", *on_disk(tmp_path, says_from_disk()),
    )  # fmt: skip
    machine = ("qemu-system-x86_64", "-M", "pc,graphics=off", "-accel", "tcg", "-m", "768")
    rack = Rack()
    target = Target("b1", "x86-bios", "amd64", (MAC,), intent=BootIntent.STEP, boot="boot-1", token="t0ken")
    async with rack.child(setup) as child:
        child.put_target(target)
        async with powered(lan, *machine, *drives, rom=",romfile=", restarts=True) as board:
            await board.until(lambda: [kind for kind, *_ in rack.reports] == ["hello"], AGENT_SECONDS)
            disks = rack.reports[0][3]["facts"]["disks"]
            assert {disk["spared"] for disk in disks} == {None, "medium that brings the agent"}
            leave = {"run": "r-1", "step": 1, "kind": "reboot", "params": {}}
            child.put_target(replace(target, step=leave))
            await board.until(lambda: rack.reports[-1][0] == "done", AGENT_SECONDS)
            child.put_target(replace(target, intent=BootIntent.LOCAL, boot="boot-2", token="t1ken"))
            await board.shows(b"FROM DISK", seconds=AGENT_SECONDS)
    answers = [event.data.get("answer") for event in rack.events if event.data.get("file") == "join"]
    assert answers == ["step"]
