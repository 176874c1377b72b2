"""How far a wipe goes is the class's affair; what is less frees no board. Failing disks are told of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from test_hub import ANNA, life, until

from hostler.hub.hub import Hub
from hostler.hub.runs import wipe_order
from hostler.hub.state import Draft
from simulated_rack import LAB, running

if TYPE_CHECKING:
    from pathlib import Path

PURGING = LAB.replace('platform = "x86-bios"', 'platform = "x86-bios"\nwipe = "purge"')


@pytest.mark.parametrize(("wipe", "params"), [(None, {}), ("clear", {}), ("quick", {"effort": "quick"})])
async def test_a_wipe_only_clears_unless_the_class_asks_for_more(
    tmp_path: Path, wipe: str | None, params: dict[str, str]
) -> None:
    """What a disk's firmware does is a risk that nobody takes unasked."""
    lab_file = (
        LAB.replace('platform = "x86-bios"', f'platform = "x86-bios"\nwipe = "{wipe}"') if wipe else LAB
    )
    async with running(tmp_path, lab=lab_file) as lab:
        order = wipe_order(Draft(lab.hub.state, 0.0), lab.hub.state.boards["pc-1"])
        assert (order.params, order.seconds) == (params, 12 * 3600)


async def test_a_class_that_asks_for_purge_orders_it_and_takes_nothing_less(tmp_path: Path) -> None:
    """The agent is told; a disk that was only cleared leaves the board in quarantine, and says why."""
    async with running(tmp_path, lab=PURGING) as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: life(lab) == "quarantined")
        record = lab.hub.state.boards["pc-1"]
        assert record.reason == (
            "the wipe is not proven: its class asks for purge, and /dev/vda was only cleared"
        )
        assert record.run is not None
        (order,) = lab.hub.state.runs[record.run].order.steps
        assert order.params == {"effort": "purge"}
        assert order.seconds == 72 * 3600
        other = await lab.hub.claim(ANNA, "arm")
        await lab.hub.release(ANNA, other.id)
        await until(lambda: life(lab, "arm-1") == "available")


def disk(*failing: str) -> dict[str, Any]:
    return {"path": "/dev/sda", "model": "X", "health": {"source": "ata", "failing": list(failing)}}


async def test_a_disk_that_begins_to_fail_is_told_of_once(tmp_path: Path) -> None:
    """With the next boot too it is failing, but that is no news; another way of failing is."""
    async with running(tmp_path) as lab:
        await until(lambda: "pc-1" in lab.rack.boards)
        board = lab.rack.boards["pc-1"]
        for failing in ([], ["worn out"], ["worn out"], ["worn out", "read-only"]):
            await lab.rack.tell(board, facts={"disks": [disk(*failing)], "n": len(failing)})
            await until(
                lambda failing=failing: _facts(lab.hub) == {"disks": [disk(*failing)], "n": len(failing)}
            )
        await asyncio.wait_for(lab.hub.journal.settled(), 60)
        told = [
            event.data["reasons"] for event in await lab.hub.history.about("pc-1", "board.disk-failing", 0.0)
        ]
        assert told == [["worn out"], ["worn out", "read-only"]]


def _facts(hub: Hub) -> dict[str, Any]:
    return hub.state.boards["pc-1"].facts
