"""One partition more at the end of a disk that holds an image: an entry in its GPT or MBR.

UEFI specification 2.10, section 5.2.1 (MBR) and 5.3 (GPT). An image is mostly smaller than the disk, and its
second GPT then lies in the middle of it: it is written anew where it belongs. The new partition is the last
thing on the disk, so that a root file system before it can grow.
"""

from __future__ import annotations

import binascii
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.agent.media import aligned_buffer, up
from hostler.agent.work import StepError

if TYPE_CHECKING:
    from hostler.agent.media import Media

_SECTOR = 512
_ALIGNMENT = (1 << 20) // _SECTOR
# EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, basic data, as it lies on a disk.
_BASIC_DATA = bytes.fromhex("a2a0d0ebe5b9334487c068b6b72699c7")
_FAT16_LBA, _PROTECTIVE = 0x0E, 0xEE
_NO_CHS = b"\xfe\xff\xff"
_MOST_MBR_SECTORS = 1 << 32
_GPT = struct.Struct("<8sIIII4Q16sQIII")
_MOST_TABLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Added:
    """A partition that was added.

    Attributes:
        number: From 1.
        offset: Its first byte.
    """

    number: int
    offset: int


def add_partition(media: Media, size: int, name: str) -> Added:
    """Add a partition for a FAT file system as the last thing on the disk.

    Args:
        media: The disk, open for writing.
        size: Bytes it needs.
        name: What a GPT calls it.

    Raises:
        StepError: The disk has no table or a damaged one, no room behind the image, or no free entry; nothing
            was written then.
    """
    if media.block != _SECTOR:
        raise StepError(f"{media.path} has sectors of {media.block} bytes; a seed needs {_SECTOR}")
    head = _read(media, 0, 2 * _SECTOR)
    sectors = -(-size // _SECTOR)
    if head[_SECTOR : _SECTOR + 8] == b"EFI PART":
        return _add_to_gpt(media, head, sectors, name)
    if head[510:512] == b"\x55\xaa" and any(head[446 + 16 * n + 4] for n in range(4)):
        return _add_to_mbr(media, head[:_SECTOR], sectors)
    raise StepError(f"the image on {media.path} has no partition table, to which a seed could be added")


def _add_to_gpt(media: Media, head: bytes, sectors: int, name: str) -> Added:
    values = _GPT.unpack_from(head, _SECTOR)
    (signature, revision, length, crc, _, _, _, first, _, disk, place, count, width, table_crc) = values
    fixed = bytearray(head[_SECTOR : _SECTOR + min(max(length, _GPT.size), _SECTOR)])
    fixed[16:20] = bytes(4)
    if width < 128 or count * width > _MOST_TABLE or binascii.crc32(fixed) != crc:
        raise StepError(f"the GPT of the image on {media.path} is damaged")
    table = bytearray(_read(media, place * _SECTOR, up(count * width, _SECTOR)))[: count * width]
    if binascii.crc32(table) != table_crc:
        raise StepError(f"the GPT of the image on {media.path} is damaged")
    entries = [table[at : at + width] for at in range(0, len(table), width)]
    used = [struct.unpack_from("<QQ", entry, 32) for entry in entries if any(entry[:16])]
    free = next((n for n, entry in enumerate(entries) if not any(entry[:16])), None)
    if free is None:
        raise StepError(f"the GPT of the image on {media.path} has no free entry")
    last = media.size // _SECTOR - 1
    table_sectors = -(-len(table) // _SECTOR)
    usable = last - table_sectors - 1
    start = _place(media, sectors, usable + 1, max((end for _, end in used), default=first - 1) + 1)
    entry = struct.pack("<16s16sQQQ", _BASIC_DATA, _identity(), start, start + sectors - 1, 0)
    table[free * width : (free + 1) * width] = (entry + name.encode("utf-16-le")).ljust(width, b"\0")
    whole = bytes(table).ljust(table_sectors * _SECTOR, b"\0")

    def header(mine: int, other: int, entries_at: int) -> bytes:
        packed = bytearray(
            _GPT.pack(
                signature, revision, _GPT.size, 0, 0, mine, other, first, usable, disk, entries_at, count,
                width, binascii.crc32(table),
            )
        )  # fmt: skip
        struct.pack_into("<I", packed, 16, binascii.crc32(packed))
        return bytes(packed).ljust(_SECTOR, b"\0")

    # The second table first: while the disk has one that is whole, firmware and kernels find it.
    behind = last - table_sectors
    _write(media, behind * _SECTOR, whole + header(last, 1, behind))
    _write(media, place * _SECTOR, whole)
    _write(media, 0, _protective(head[:_SECTOR], last) + header(1, last, place))
    return Added(free + 1, start * _SECTOR)


def _add_to_mbr(media: Media, sector: bytes, sectors: int) -> Added:
    table = bytearray(sector)
    ends, free = [1], None
    for number in range(4):
        at = 446 + 16 * number
        kind, start, length = struct.unpack_from("<4xB3xII", table, at)
        if kind:
            ends.append(start + length)
        elif free is None:
            free = number
    if free is None:
        raise StepError(f"the MBR of the image on {media.path} has no free entry: four partitions are in use")
    last = min(media.size // _SECTOR, _MOST_MBR_SECTORS)
    start = _place(media, sectors, last, max(ends))
    struct.pack_into("<B3sB3sII", table, 446 + 16 * free, 0, _NO_CHS, _FAT16_LBA, _NO_CHS, start, sectors)
    _write(media, 0, bytes(table))
    return Added(free + 1, start * _SECTOR)


def _place(media: Media, sectors: int, end: int, free_from: int) -> int:
    """Return the first sector of a partition that ends before ``end``."""
    start = (end - sectors) // _ALIGNMENT * _ALIGNMENT
    if start < free_from:
        raise StepError(
            f"{media.path} has no room behind the image's partitions for {sectors * _SECTOR} bytes more: "
            f"they end at {free_from * _SECTOR} of {media.size}; use a larger disk or a smaller image"
        )
    return start


def _protective(sector: bytes, last: int) -> bytes:
    """Return the MBR before a GPT, its one entry as large as the disk."""
    table = bytearray(sector)
    for at in range(446, 510, 16):
        if table[at + 4] == _PROTECTIVE:
            start = struct.unpack_from("<I", table, at + 8)[0]
            struct.pack_into("<I", table, at + 12, min(last + 1 - start, 0xFFFFFFFF))
    return bytes(table)


def _identity() -> bytes:
    """A random GUID as it lies on a disk (RFC 9562 version 4)."""
    identity = bytearray(os.urandom(16))
    identity[7] = identity[7] & 0x0F | 0x40
    identity[8] = identity[8] & 0x3F | 0x80
    return bytes(identity)


def _read(media: Media, offset: int, length: int) -> bytes:
    if offset + length > media.size:
        raise StepError(f"the partition table on {media.path} lies beyond the end of the disk")
    buffer = aligned_buffer(length)
    media.read(buffer, offset)
    return bytes(buffer)


def _write(media: Media, offset: int, content: bytes) -> None:
    buffer = aligned_buffer(len(content))
    buffer[:] = content
    media.write(buffer, offset)
