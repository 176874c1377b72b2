"""GRUB for a disk image or a medium: for BIOS embedded by hand, for UEFI as one file; from Debian's packages.

``grub-install`` wants root and real devices. What it does to a disk is little:
`hostler.images.disk_file.embed`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build import deb
from hostler.build.errors import PackageError
from hostler.build.tool import find, run

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = ("grub-pc-bin", "grub-efi-amd64-bin")
_DEADLINE = 60.0
_COMMON = (
    *("part_gpt", "part_msdos", "fat", "ext2", "normal", "configfile", "linux", "regexp", "test", "echo"),
    *("search", "search_fs_uuid", "ls", "cat", "serial", "terminal", "reboot", "halt"),
)
_BIOS = (*_COMMON, "biosdisk")
# For a CD or a stick; what it finds in the clock's registers decides whether it starts a disk.
_BIOS_MEDIUM = (*_BIOS, "iso9660", "chain", "drivemap", "cmostest", "true", "sleep")
_EFI = (*_COMMON, "efi_gop", "all_video")


class Grub:
    """GRUB's parts, unpacked for as long as the context lasts.

    Args:
        archives: The packages of `PACKAGES`.
    """

    def __init__(self, archives: Iterable[Path]) -> None:
        self._archives = list(archives)
        self._scratch = tempfile.TemporaryDirectory(prefix="hostler-grub-")

    def __enter__(self) -> Grub:
        for archive in self._archives:
            for member in deb.members(archive, lambda path: path.startswith("usr/lib/grub/")):
                platform, _, name = member.path.removeprefix("usr/lib/grub/").partition("/")
                if name and "/" not in name:
                    place = Path(self._scratch.name) / platform
                    place.mkdir(exist_ok=True)
                    (place / name).write_bytes(member.data)
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def efi(self, prefix: str) -> bytes:
        """``BOOTX64.EFI``; it reads ``<prefix>/grub.cfg`` on the partition it was started from."""
        return self._image("x86_64-efi", prefix, _EFI)

    def bios_core(self, prefix: str) -> bytes:
        """``core.img``; it reads ``<prefix>/grub.cfg``, such as ``(,gpt2)/grub`` of the same disk."""
        return self._image("i386-pc", prefix, _BIOS)

    def boot_sector(self) -> bytes:
        """``boot.img``, the first sector."""
        return self._part("i386-pc", "boot.img")

    def bios_medium(self, prefix: str) -> bytes:
        """What a BIOS loads from a CD (El Torito), and ``hybrid_boot_sector`` loads from a stick."""
        return self._image("i386-pc", prefix, _BIOS_MEDIUM, "i386-pc-eltorito")

    def hybrid_boot_sector(self) -> bytes:
        """First sector of a CD's image that a BIOS starts when it lies on a stick."""
        return self._part("i386-pc", "boot_hybrid.img")

    def _image(self, platform: str, prefix: str, modules: Iterable[str], kind: str = "") -> bytes:
        place = Path(self._scratch.name)
        if not (place / platform).is_dir():
            raise PackageError(f"GRUB's packages hold nothing for {platform}")
        result = place / f"{platform}.img"
        tool = find("grub-mkimage", "grub-common")
        command: list[str | Path] = [
            tool,
            "-d",
            place / platform,
            "-O",
            kind or platform,
            "-p",
            prefix,
            "-o",
            result,
            *modules,
        ]
        run(command, deadline=_DEADLINE)
        return result.read_bytes()

    def _part(self, platform: str, name: str) -> bytes:
        return (Path(self._scratch.name) / platform / name).read_bytes()
