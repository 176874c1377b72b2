"""UEFI firmware under Secure Boot walks through the real netboot process: shim, GRUB, kernel, agent."""

from __future__ import annotations

from dataclasses import replace
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
    """OVMF with Microsoft's keys starts Debian's shim, that GRUB, that the kernel; the agent wipes a disk."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"data" * (4 << 20))
    plug_in(lan)
    rack = Rack()
    async with rack.child(setup) as child:
        target = agent_target(child)
        child.put_target(replace(target, step={"run": "r", "step": 0, "kind": "wipe", "params": {}}))
        async with switched_on(lan, board(tmp_path, secure=True, disk=disk)) as machine:
            await machine.until(
                lambda: {"done", "fail"} & {report[0] for report in rack.reports}, HELLO_SECONDS
            )
    reports = {kind: body for kind, name, boot, body in rack.reports if (name, boot) == ("b1", "boot-1")}
    assert reports["hello"]["facts"]["secure_boot"] is True
    assert "fail" not in reports, reports["fail"]
    assert not any(disk.read_bytes())
    loaded = [name for name in fetched(rack, "tftp", "done") if not name.endswith(".cfg")]
    assert loaded == ["grub/shimx64.efi", "grub/grubx64.efi", "grub/kernel", "grub/initrd"]
    assert "failed" not in rack.kinds("tftp")
