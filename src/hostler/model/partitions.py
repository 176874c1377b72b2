"""A disk's partition table as a value: read from its first bytes, changed, written for a disk of any size.

UEFI specification 2.10, section 5.2.1 (MBR) and 5.3 (GPT). Only bytes go in and out; whoever has the disk or
the image reads and writes them. Logical partitions, in the chain inside an extended one, are not told apart:
the extended partition is one piece.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass, replace

HEAD_BYTES = 1 << 20
"""As much of a disk's beginning as is needed to read its table."""

_GPT = struct.Struct("<8sIIII4Q16sQIII")
_SIGNATURE = b"EFI PART"
_MBR_ENTRIES, _MBR_ENTRY = 446, struct.Struct("<B3sB3sII")
_PROTECTIVE = 0xEE
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_NO_CHS = b"\xfe\xff\xff"
_SECTORS = (512, 4096)
_MOST_MBR_SECTORS = (1 << 32) - 1
_ROUND = 1 << 20  # an image's end; partition tools begin partitions on such places


class PartitionError(ValueError):
    """The table is damaged, or cannot be what it is asked to be; the text says why."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    Attributes:
        number: From 1, as the kernel counts.
        start: Its first byte.
        size: Bytes.
        kind: GPT: its type's GUID, lower-case; MBR: two hex digits.
        name: What a GPT calls it.
    """

    number: int
    start: int
    size: int
    kind: str
    name: str = ""

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """A whole table. ``read_table`` makes one; the changing methods return another.

    Attributes:
        gpt: Whether it is a GPT; else an MBR.
        sector: Bytes of a logical block.
        mbr: The disk's first 512 bytes.
        entries: Each entry as it lies on the disk, unused ones too.
        header: Of a GPT what stays the same on any disk: revision, first usable block, disk GUID, first
            block of the entries.
    """

    gpt: bool
    sector: int
    mbr: bytes
    entries: tuple[bytes, ...]
    header: tuple[int, int, bytes, int] = (0, 0, b"", 0)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions in the order of their numbers."""
        found = (self._partition(number, entry) for number, entry in enumerate(self.entries, 1) if any(entry))
        return tuple(partition for partition in found if partition is not None)

    @property
    def has_extended(self) -> bool:
        """Whether an MBR has an extended partition, with others in it."""
        return not self.gpt and any(entry[4] in _EXTENDED for entry in self.entries)

    @property
    def smallest(self) -> int:
        """Bytes the smallest disk has on which all partitions and the table itself have room."""
        end = max((partition.end for partition in self.partitions), default=_ROUND)
        return -(-(end + self._behind() * self.sector) // _ROUND) * _ROUND

    def usable_end(self, size: int) -> int:
        """Return the first byte behind all that partitions may have on a disk of ``size`` bytes."""
        sectors = size // self.sector - self._behind()
        return (sectors if self.gpt else min(sectors, _MOST_MBR_SECTORS)) * self.sector

    def without(self, number: int) -> PartitionTable:
        """Return the table with this entry unused."""
        return self._with(number, bytes(len(self.entries[number - 1])))

    def placed(self, number: int, start: int, size: int) -> PartitionTable:
        """Return the table with a partition somewhere else, or of another size; both in bytes.

        Raises:
            PartitionError: They are not whole blocks.
        """
        if start % self.sector or size % self.sector or size <= 0:
            raise PartitionError(f"partition {number} cannot have {size} bytes at {start}: no whole blocks")
        first, count = start // self.sector, size // self.sector
        entry = bytearray(self.entries[number - 1])
        if self.gpt:
            struct.pack_into("<QQ", entry, 32, first, first + count - 1)
        else:
            _, _, kind, *_ = _MBR_ENTRY.unpack(entry)
            _MBR_ENTRY.pack_into(entry, 0, entry[0], _NO_CHS, kind, _NO_CHS, first, count)
        return self._with(number, bytes(entry))

    def pieces(self, size: int) -> list[tuple[int, bytes]]:
        """Return what to write where, offset and bytes, so that a disk of ``size`` bytes has this table.

        Raises:
            PartitionError: The disk is too small for it.
        """
        end = max((partition.end for partition in self.partitions), default=0)
        last = size // self.sector - 1
        if end > (last + 1 - self._behind()) * self.sector:
            raise PartitionError(f"the partitions end at {end}, too late for a disk of {size} bytes")
        if not self.gpt:
            return [(0, self.mbr[:_MBR_ENTRIES] + b"".join(self.entries) + self.mbr[510:512])]
        whole = b"".join(self.entries)
        table = whole.ljust(self._table_blocks() * self.sector, b"\0")
        behind = last - self._table_blocks()
        place = self.header[3]
        return [
            (0, self._protective(last)),
            (self.sector, self._header(1, last, place, behind - 1, whole)),
            (place * self.sector, table),
            (behind * self.sector, table),
            (last * self.sector, self._header(last, 1, behind, behind - 1, whole)),
        ]

    def _partition(self, number: int, entry: bytes) -> Partition | None:
        if self.gpt:
            if not any(entry[:16]):
                return None
            first, last = struct.unpack_from("<QQ", entry, 32)
            name = entry[56:128].decode("utf-16-le", "replace").partition("\0")[0]
            kind = guid_text(entry[:16])
            return Partition(number, first * self.sector, (last - first + 1) * self.sector, kind, name)
        _, _, type_, _, first, count = _MBR_ENTRY.unpack(entry)
        if not type_ or not count:
            return None
        return Partition(number, first * self.sector, count * self.sector, f"{type_:02x}")

    def _with(self, number: int, entry: bytes) -> PartitionTable:
        return replace(self, entries=(*self.entries[: number - 1], entry, *self.entries[number:]))

    def _table_blocks(self) -> int:
        return -(-len(b"".join(self.entries)) // self.sector)

    def _behind(self) -> int:
        """Blocks that the table takes at the end of a disk."""
        return self._table_blocks() + 1 if self.gpt else 0

    def _header(self, mine: int, other: int, entries_at: int, usable: int, whole: bytes) -> bytes:
        revision, first, disk, _ = self.header
        packed = bytearray(
            _GPT.pack(
                _SIGNATURE, revision, _GPT.size, 0, 0, mine, other, first, usable, disk, entries_at,
                len(self.entries), len(self.entries[0]), binascii.crc32(whole),
            )
        )  # fmt: skip
        struct.pack_into("<I", packed, 16, binascii.crc32(packed))
        return bytes(packed).ljust(self.sector, b"\0")

    def _protective(self, last: int) -> bytes:
        """The MBR before a GPT, its one entry as large as the disk."""
        sector = bytearray(self.mbr)
        for at in range(_MBR_ENTRIES, 510, 16):
            if sector[at + 4] == _PROTECTIVE:
                start = struct.unpack_from("<I", sector, at + 8)[0]
                struct.pack_into("<I", sector, at + 12, min(last + 1 - start, 0xFFFFFFFF))
        return bytes(sector)


def guid_text(guid: bytes) -> str:
    """Return a GUID as people write it; on the disk its first three fields are little-endian.

    Python's own ``uuid`` would need a library that boards have not.
    """
    first, second, third = struct.unpack_from("<IHH", guid)
    return f"{first:08x}-{second:04x}-{third:04x}-{guid[8:10].hex()}-{guid[10:].hex()}"


def read_table(head: bytes, sector: int | None = None) -> PartitionTable | None:
    """Read the table out of the first ``HEAD_BYTES`` of a disk (all of a smaller one).

    Args:
        head: Those bytes.
        sector: Bytes of a logical block; None: as the place of a GPT tells, else 512.

    Returns:
        The table; None if there is none.

    Raises:
        PartitionError: It is a GPT whose checksums do not hold.
    """
    if len(head) < _SECTORS[0] or head[510:512] != b"\x55\xaa":
        return None
    for block in _SECTORS if sector is None else (sector,):
        if head[block : block + 8] == _SIGNATURE:
            return _read_gpt(head, block)
    entries = tuple(head[at : at + 16] for at in range(_MBR_ENTRIES, 510, 16))
    if not any(entry[4] for entry in entries) or any(entry[0] & 0x7F for entry in entries):
        return None  # the boot code of a file system that has the whole disk
    return PartitionTable(False, sector or _SECTORS[0], head[:512], entries)


def _read_gpt(head: bytes, block: int) -> PartitionTable:
    (_, revision, length, crc, _, _, _, first, _, disk, place, count, width, table_crc) = _GPT.unpack_from(
        head, block
    )
    if not _GPT.size <= length <= block:
        raise PartitionError("the GPT is damaged: its header has no such length")
    fixed = bytearray(head[block : block + length])
    fixed[16:20] = bytes(4)
    if binascii.crc32(fixed) != crc:
        raise PartitionError("the GPT is damaged: the checksum of its header does not hold")
    begin, size = place * block, count * width
    if width < 128 or not size or begin + size > len(head):
        raise PartitionError("the GPT is damaged: its entries are not at the disk's beginning")
    table = head[begin : begin + size]
    if binascii.crc32(table) != table_crc:
        raise PartitionError("the GPT is damaged: the checksum of its entries does not hold")
    entries = tuple(table[at : at + width] for at in range(0, size, width))
    return PartitionTable(True, block, head[:512], entries, (revision, first, disk, place))
