"""GRUB for a disk image or a medium: for BIOS embedded by hand, for UEFI as one file; from Debian's packages.

``grub-install`` wants root and real devices. What it does to a disk is little, and known: see
``grub-core/boot/i386/pc`` in GRUB's source (boot.S, diskboot.S) and ``util/setup.c``.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build import deb
from hostler.build.disk import SECTOR
from hostler.build.errors import BuildError, PackageError
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

# Offsets in boot.img (boot.S): the sector of core.img; the check that a floppy needs and a disk not.
_BOOT_SECTOR_OF_CORE = 0x5C
_BOOT_DRIVE_CHECK = 0x66
_NOPS = b"\x90\x90"
_PARTITION_TABLE = slice(440, SECTOR)
# Last block list in the first sector of core.img (diskboot.S): start, sectors, segment to load to.
_BLOCK_LIST = struct.Struct("<QHH")
_CORE_SEGMENT = 0x820


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


def embed(disk: Path, boot_sector: bytes, core: bytes, offset: int, size: int) -> None:
    """Make ``disk`` start GRUB from a BIOS.

    Args:
        disk: Image with its partition table in place.
        boot_sector: See `Grub.boot_sector`.
        core: See `Grub.bios_core`.
        offset: Byte offset of the BIOS boot partition.
        size: Its bytes.

    Raises:
        BuildError: ``core`` is too large for the partition.
    """
    if len(core) > size:
        raise BuildError(f"GRUB's core image has {len(core)} bytes; its partition holds {size}")
    start = offset // SECTOR
    padded = bytearray(core + b"\0" * (-len(core) % SECTOR))
    rest = len(padded) // SECTOR - 1
    _BLOCK_LIST.pack_into(padded, SECTOR - _BLOCK_LIST.size, start + 1, rest, _CORE_SEGMENT)
    first = bytearray(boot_sector[:SECTOR])
    struct.pack_into("<Q", first, _BOOT_SECTOR_OF_CORE, start)
    first[_BOOT_DRIVE_CHECK : _BOOT_DRIVE_CHECK + 2] = _NOPS
    with disk.open("r+b") as image:
        first[_PARTITION_TABLE] = image.read(SECTOR)[_PARTITION_TABLE]
        image.seek(0)
        image.write(first)
        image.seek(offset)
        image.write(padded)
