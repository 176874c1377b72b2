"""A Raspberry Pi that starts U-Boot as its kernel: which build of it, by what the board is to do.

Its owner builds U-Boot three times, with boot commands of its own each: one that boots the disk, one that
goes to the network, and one that erases the boot medium first. They are registered as boot files. The last
two then ask by DHCP and find their ``pxelinux.cfg`` (or an EFI program) as on any board with U-Boot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader

if TYPE_CHECKING:
    from hostler.netboot.table import Target

UBOOT = "u-boot.bin"
"""What the firmware is told to fetch as its kernel."""
NORMAL, PROVISIONING, ERASE = "u-boot-normal.bin", "u-boot-provisioning.bin", "u-boot-erase.bin"
"""The boot files' names."""


def uboot_variant(target: Target) -> str | None:
    """Return the build a board is to start now, or None: its firmware does what it does without U-Boot.

    Without a build that erases, the one for provisioning brings the agent, which wipes anyhow. Without one
    for the disk, the firmware finds nothing and goes on to its disk itself.
    """
    if target.loader is not Loader.UBOOT:
        return None
    if target.intent is BootIntent.LOCAL:
        choice: tuple[str, ...] = (NORMAL,)
    elif target.intent is BootIntent.STEP:
        wipes = target.step is not None and target.step.get("kind") == "wipe"
        choice = (ERASE, PROVISIONING) if wipes else (PROVISIONING,)
    else:
        return None
    return next((name for name in choice if name in target.files), None)
