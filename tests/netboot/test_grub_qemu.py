"""UEFI firmware under Secure Boot walks through the real netboot process: shim, GRUB, kernel, agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from netboot_peers import Rack
from test_process_qemu import fetched, setup
from uefi_boards import HELLO_SECONDS, agent_target, board, plug_in, switched_on

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.netns, pytest.mark.qemu]


async def test_secure_boot_comes_to_the_agent(lan: Lan, setup: NetbootSetup, tmp_path: Path) -> None:
    """With Microsoft's keys OVMF starts Debian's shim, that GRUB, that Debian's kernel, with its modules."""
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup) as child:
        agent_target(child)
        async with switched_on(lan, board(tmp_path, secure=True)) as machine:
            await machine.until(lambda: rack.reports, HELLO_SECONDS)
    kind, name, boot, body = rack.reports[0]
    assert (kind, name, boot) == ("hello", "b1", "boot-1")
    assert body["facts"]["secure_boot"] is True
    loaded = [name for name in fetched(rack, "tftp", "done") if not name.endswith(".cfg")]
    assert loaded == ["grub/shimx64.efi", "grub/grubx64.efi", "grub/kernel", "grub/initrd"]
    assert "failed" not in rack.kinds("tftp")
