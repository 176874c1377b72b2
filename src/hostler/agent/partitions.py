"""The partitions of a disk as UEFI names them: by the GPT's GUID, or by the MBR's number.

UEFI specification 2.10, section 5.2.1 (MBR), 5.3 (GPT) and 10.3.5.1 (hard drive device path).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SECTORS = (512, 4096)
_MOST_ENTRIES = 1024
# C12A7328-F81F-11D2-BA4B-00A0C93EC93B as it lies on a disk. Python's uuid would need a library on the board.
_EFI_SYSTEM = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
_EFI_SYSTEM_MBR = 0xEF
_GPT_HEADER = struct.Struct("<8s64xQII")  # signature, first sector of the entries, their number and size


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    Attributes:
        number: From 1.
        start: First sector.
        sectors: Their number.
        signature: 16 bytes: the GPT's GUID of it, or the MBR's number of the disk and zeros.
        gpt: Whether a GPT holds it, else an MBR.
        system: Whether firmware looks for boot loaders on it (EFI system partition).
    """

    number: int
    start: int
    sectors: int
    signature: bytes
    gpt: bool
    system: bool


def partitions(disk: Path) -> list[Partition]:
    """Return the partitions of a disk, primary ones in case of an MBR; none if it cannot be read."""
    try:
        with disk.open("rb") as stream:
            first = stream.read(512)
            for sector in _SECTORS:
                stream.seek(sector)
                head = stream.read(512)
                if head[:8] == b"EFI PART":
                    _, entries, count, size = _GPT_HEADER.unpack_from(head)
                    stream.seek(entries * sector)
                    return _of_gpt(stream.read(min(count, _MOST_ENTRIES) * size), size)
    except OSError:
        return []
    return _of_mbr(first) if first[510:512] == b"\x55\xaa" else []


def _of_gpt(table: bytes, size: int) -> list[Partition]:
    if size < 128:
        return []
    found = []
    for number, at in enumerate(range(0, len(table) - size + 1, size), 1):
        kind, signature, start, end = struct.unpack_from("<16s16sQQ", table, at)
        if kind != bytes(16):
            found.append(Partition(number, start, end - start + 1, signature, True, kind == _EFI_SYSTEM))
    return found


def _of_mbr(sector: bytes) -> list[Partition]:
    signature = sector[440:444] + bytes(12)
    found = []
    for number, at in enumerate(range(446, 510, 16), 1):
        kind, start, sectors = struct.unpack_from("<4xB3xII", sector, at)
        if kind:
            found.append(Partition(number, start, sectors, signature, False, kind == _EFI_SYSTEM_MBR))
    return found
