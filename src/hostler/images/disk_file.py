"""A disk in a plain file: its partition table, its FAT file systems, GRUB for a BIOS; holes stay holes."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hostler.images.system_tool import Tool

SECTOR = 512
MIB = 1 << 20
_COPY = 4 * MIB
_TABLE_SPACE = MIB
# GPT partition types (UEFI specification 2.10 table 5.7, and the discoverable partitions of systemd).
TYPE_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
TYPE_EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
TYPE_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
MBR_FAT32 = "c"
MBR_LINUX = "83"
# --invariant and the fixed clock: same files, same bytes.
_CLOCK = {"SOURCE_DATE_EPOCH": "1767225600", "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}

# Offsets in boot.img (GRUB's grub-core/boot/i386/pc/boot.S): the sector of core.img; the check that a floppy
# needs and a disk not.
_BOOT_SECTOR_OF_CORE = 0x5C
_BOOT_DRIVE_CHECK = 0x66
_NOPS = b"\x90\x90"
_PARTITION_TABLE = slice(440, SECTOR)
# Last block list in the first sector of core.img (diskboot.S): start, sectors, segment to load to.
_BLOCK_LIST = struct.Struct("<QHH")
_CORE_SEGMENT = 0x820


@dataclass(frozen=True, slots=True)
class DiskPart:
    """One partition.

    Attributes:
        name: Its name in a GPT.
        kind: Type: a GUID, or an MBR's in hexadecimal.
        size: Bytes, a multiple of 1 MiB.
        identity: Its GUID in a GPT.
        content: File copied to its start; None: left empty.
        bootable: Marked as what to boot from, for U-Boot and the loaders of a BIOS.
    """

    name: str
    kind: str
    size: int
    identity: str
    content: Path | None = None
    bootable: bool = False


def starts(parts: Sequence[DiskPart]) -> list[int]:
    """Return where each partition begins, in bytes: one after the other from 1 MiB."""
    found, offset = [], _TABLE_SPACE
    for part in parts:
        found.append(offset)
        offset += part.size
    return found


def disk_size(parts: Sequence[DiskPart]) -> int:
    """Return the bytes of a disk with these partitions, and room for the table behind them."""
    return sum(part.size for part in parts) + 2 * _TABLE_SPACE


def assemble(
    path: Path, parts: Sequence[DiskPart], identity: str, tool: Tool, beat: Callable[[], None]
) -> None:
    """Write a disk; with a GPT where ``identity`` is a GUID, with an MBR where it is ``0x`` and 8 digits.

    Raises:
        ToolError: sfdisk is missing or failed.
    """
    places = starts(parts)
    with path.open("wb") as image:
        image.truncate(disk_size(parts))
    lines = [f"label: {'dos' if identity.startswith('0x') else 'gpt'}", f"label-id: {identity}"]
    lines += [f"first-lba: {_TABLE_SPACE // SECTOR}"] if not identity.startswith("0x") else []
    lines += [_line(part, place) for part, place in zip(parts, places, strict=True)]
    tool("fdisk", "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path, stdin="\n".join(lines) + "\n")
    with path.open("r+b") as image:
        for part, place in zip(parts, places, strict=True):
            if part.content is not None:
                copy_sparse(part.content, image.fileno(), place, beat)


def _line(part: DiskPart, place: int) -> str:
    line = f"start={place // SECTOR}, size={part.size // SECTOR}, type={part.kind}"
    if not part.identity:
        return line + (", bootable" if part.bootable else "")
    attributes = ", attrs=LegacyBIOSBootable" if part.bootable else ""
    return f'{line}, uuid={part.identity}, name="{part.name}"{attributes}'


def copy_sparse(source: Path, target: int, offset: int, beat: Callable[[], None]) -> None:
    """Copy the data of a file to a place in an open one that reads zeros there; zeros are left out."""
    zeros = bytes(_COPY)
    with source.open("rb") as stream:
        while block := stream.read(_COPY):
            if block != zeros[: len(block)]:
                os.pwrite(target, block, offset)
            offset += len(block)
            beat()


def fat(
    path: Path, size: int, label: str, serial: str, files: Mapping[str, Path], tool: Tool,
    bits: int | None = None,
) -> None:  # fmt: skip
    """Make a FAT file system with files in it.

    Args:
        path: Of its file.
        size: Bytes.
        label: Eleven characters at most.
        serial: Volume id, eight hexadecimal digits.
        files: Where their content is, by path with ``/`` between names.
        tool: Runs programs.
        bits: Of its table's entries; None: as suits its size.

    Raises:
        ToolError: A program is missing or failed.
    """
    with path.open("wb") as image:
        image.truncate(size)
    kind = () if bits is None else ("-F", str(bits))
    tool("dosfstools", "mkfs.vfat", "--invariant", *kind, "-n", label, "-i", serial, path, environment=_CLOCK)
    folders = {"/".join(name.split("/")[:depth]) for name in files for depth in range(1, name.count("/") + 1)}
    for folder in sorted(folders):
        tool("mtools", "mmd", "-i", path, f"::/{folder}", environment=_CLOCK)
    for name, content in sorted(files.items()):
        tool("mtools", "mcopy", "-i", path, content, f"::/{name}", environment=_CLOCK)


def embed(disk: Path, boot_sector: bytes, core: bytes, offset: int, size: int) -> None:
    """Make a disk start GRUB from a BIOS, as ``grub-install`` does (GRUB's ``util/setup.c``).

    Args:
        disk: Image with its partition table in place.
        boot_sector: GRUB's ``boot.img``.
        core: GRUB's ``core.img``.
        offset: Byte offset of the BIOS boot partition.
        size: Its bytes.

    Raises:
        ValueError: ``core`` is too large for the partition.
    """
    if len(core) > size:
        raise ValueError(f"GRUB's core image has {len(core)} bytes; its partition holds {size}")
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
