"""Real firmware brings up a system that is not the agent, which fetches a text and says that it is done."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from netboot_peers import NETWORK, Rack, until
from test_process_qemu import MAC, X86, fetched, powered, setup

from hostler.model.board import Board, Lifecycle
from hostler.model.boot import BootIntent
from hostler.model.keeper_view import Memory, View
from hostler.model.netboot_order import BASE_MARK, TOKEN_MARK, NetbootOrder
from hostler.model.plan import StepKind, StepOrder
from hostler.model.run import Phase, RunOrder, RunState, RunStatus
from hostler.model.seam import BootRecord, Desired
from hostler.netboot.table import Target
from hostler.rack.handover import Handover, Sign

if TYPE_CHECKING:
    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

SERVER = f"http://{NETWORK.server}:{NETWORK.http_port}"
# iPXE as a Linux kernel runs its initramfs as a script: an installer of two stages, as small as can be.
FIRST_STAGE = f"#!ipxe\ndhcp\nchain {SERVER}/boot/text/second?from=first\n"
SECOND_STAGE = (
    f"#!ipxe\nimgfetch --name data {BASE_MARK}/boot/image/data?token={TOKEN_MARK}\n"
    f"imgfetch --name done {BASE_MARK}/boot/done?token={TOKEN_MARK}\n"
    "echo installed for ${net0/mac}\nsleep 600\n"
)


def register(child: Any, path: Path, content: bytes) -> str:
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    child.put_artefact(digest, path)
    return digest


async def test_a_pc_runs_an_installer_that_fetches_its_text_and_calls_back(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """Kernel, initramfs, text and file are this board's; the token it was told is what it calls back with."""
    rack = Rack()
    async with rack.child(setup) as child, powered(lan, *X86) as board:
        order = NetbootOrder(
            "installer",
            register(child, tmp_path / "kernel", Path("/boot/ipxe.lkrn").read_bytes()),
            register(child, tmp_path / "initrd", FIRST_STAGE.encode()),
            files={"data": register(child, tmp_path / "data", bytes(1_000_000))},
            texts={"second": SECOND_STAGE},
        )
        target = Target(
            "b1", "x86-bios", "amd64", (MAC,), intent=BootIntent.STEP, boot="x1", token="t0ken", netboot=order
        )
        child.put_target(target)
        await board.shows(f"installed for {MAC}".encode(), seconds=90)
        await until(lambda: rack.reports)
    assert rack.reports[0][:3] == ("system-done", "b1", "x1")
    assert "data" in fetched(rack, "http", "done")
    assert not [event for event in rack.events if "t0ken" in event.text or "t0ken" in str(event.data)]

    step = StepOrder(StepKind.INSTALL, {"netboot": order.to_json()})
    status = RunStatus("r1", RunState.RUNNING, 0, Phase.BOOTING, boot="x1")
    desired = Desired(
        Board("b1", "pc", "boot", (MAC,)), "x86-bios", Lifecycle.CLAIMED, run=RunOrder("r1", (step,))
    )
    view, handover = View(desired, Memory(status, BootRecord("x1", 1, 0.0, "network"))), Handover()
    signs = [(event.data.get("file"), sign) for event in rack.events if (sign := handover.note(event, view))]
    assert signs == [("initrd", Sign.HANDED)]
