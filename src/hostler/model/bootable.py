"""What a root file system is made into a disk with: terms, and the names of the loaders it starts by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DISK_CORE, DISK_BOOT_SECTOR = "disk-bios.img", "disk-mbr.img"
"""GRUB for a BIOS: what is embedded in a disk, and its first sector."""
CORE_PREFIX = "(,gpt2)/grub"
"""Where that GRUB finds its configuration: on the second partition of the disk it came from."""
UEFI_SHIM = {"amd64": "shimx64.efi", "arm64": "shimaa64.efi"}
UEFI_GRUB = {"amd64": "gcdx64.efi", "arm64": "gcdaa64.efi"}
"""For UEFI: what Debian signed for media, and so for any disk."""


@dataclass(frozen=True, slots=True)
class DiskTerms:
    """How a root file system becomes a disk.

    Attributes:
        arch: ``amd64`` or ``arm64``.
        platforms: What it is to boot on; empty: whatever such a disk of the architecture can.
        size: Bytes of the disk; None: as what is in it needs.
        append: More for the kernel's command line.
        loaders: Where the registered agent's boot files are, by name.
        kernel: A tar with a kernel and its modules, put over the tree and started; None: the tree's own.
    """

    arch: str
    platforms: tuple[str, ...] = ()
    size: int | None = None
    append: str = ""
    loaders: Mapping[str, Path] = field(default_factory=dict)
    kernel: Path | None = None
