"""A real firmware whose first question is lost in a port that does not forward yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack, until
from test_process_qemu import X86, powered, put_step, setup

from hostler.model.network_trouble import NetworkTrouble
from hostler.model.trace import TraceEvent
from netns import SERVER_INTERFACE, Lan

if TYPE_CHECKING:
    from hostler.netboot.setup import NetbootSetup

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]

# Less than two of its questions: the first is dropped, the second passes.
_CLOSED = (
    f"add table netdev stp; add chain netdev stp in {{ type filter hook ingress device {SERVER_INTERFACE}"
    " priority 0; }; add rule netdev stp in udp dport 67 quota until 500 bytes drop"
)


async def test_the_roms_count_tells_that_a_question_was_lost(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """That of QEMU's network card, iPXE: its second question says that there was one before."""
    lan.server.run("nft", _CLOSED)
    rack, trouble = Rack(), NetworkTrouble()
    trouble.note(TraceEvent(0.0, "power", "on", "b1 is on", "b1"), "bench")
    async with rack.child(setup) as child:
        put_step(child, tmp_path, Path("/boot/ipxe.lkrn"), "x86-bios", "amd64")
        async with powered(lan, *X86):
            await until(lambda: "ack" in rack.kinds("dhcp"), 90)
    found = [more.kind for event in rack.events for more in trouble.note(event, setup.networks[0].name)]
    assert found == ["late"]
