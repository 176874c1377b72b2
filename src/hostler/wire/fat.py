"""A FAT16 file system around files that lie elsewhere: what stands before, between and behind them.

Source: Microsoft Extensible Firmware Initiative FAT32 File System Specification 1.03, which describes
FAT16 too. Without a partition table, read only in spirit: the directories first, then the files, each in one
piece, in their order.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECTOR = 512
_CLUSTER = 8192
_ROOT_ENTRIES = 512
_FEWEST, _MOST = 4085, 65524
"""Clusters of a FAT16; with fewer or more it would be read as FAT12 or FAT32."""
_SHORT = re.compile(r"[A-Z0-9_\-]{1,8}(?:\.[A-Z0-9_\-]{1,3})?\Z", re.IGNORECASE)
_LABEL = re.compile(r"[A-Z0-9]{1,11}\Z")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.+\-]{0,98}[A-Za-z0-9_+\-])?\Z")
_DATE = (46 << 9) | (1 << 5) | 1  # 2026-01-01: the same files give the same bytes
_VOLUME, _DIRECTORY, _ARCHIVE, _LONG_NAME = 0x08, 0x10, 0x20, 0x0F
_LOWER = 0x18
"""Both parts of a short name are to be shown in lower case, as Windows NT began to say and Linux reads."""
_LAST = 0xFFFF


class FatError(ValueError):
    """These files do not go into such a file system; the text says why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The bytes around the files.

    Attributes:
        head: Before the first file.
        padding: How many zero bytes follow each file.
        tail: How many zero bytes follow in the end.
    """

    head: bytes
    padding: tuple[int, ...]
    tail: int


def layout(files: Sequence[tuple[str, int]], *, label: str = "", cluster: int = _CLUSTER) -> Layout:
    """Lay out a file system.

    Args:
        files: Name and size in bytes of each, no name twice; a name may have directories before slashes.
        label: Its volume label: at most eleven capital letters and digits; empty: none.
        cluster: Bytes of a cluster, from 512 to 32768, a power of two: the smaller, the smaller it all is.

    Raises:
        FatError: A name has characters other than letters, digits, ``_ . + -``, or all is too much.
    """
    folders = _folders([name for name, _ in files])
    items = [*((name, 32 * length) for name, length in folders.items() if name), *files]
    counts = [-(-size // cluster) for _, size in items]
    used = sum(counts)
    clusters = max(used, _FEWEST)
    if clusters > _MOST:
        raise FatError(f"{used * cluster >> 20} MiB of files are more than a FAT16 holds")
    fat_sectors = -(-(clusters + 2) * 2 // _SECTOR)
    entries, fat, places = {"": _label_entry(label)}, [0xFFF8, _LAST], {"": 0}
    for number, ((path, size), count) in enumerate(zip(items, counts, strict=True), 1):
        folder, name = _split(path)
        first = places[path] = len(fat) if count else 0
        if path in folders:
            entries[path] = [_dots(".", first), _dots("..", places[folder])]
        size, kind = (0, _DIRECTORY) if path in folders else (size, _ARCHIVE)
        entries[folder] += _entries(name, number, first, size, kind)
        fat += [*range(first + 1, first + count), _LAST] if count else []
    if len(entries[""]) > _ROOT_ENTRIES:
        raise FatError(f"{len(files)} files with their long names are more than a root directory holds")
    table = struct.pack(f"<{len(fat)}H", *fat).ljust(fat_sectors * _SECTOR, b"\0")
    root = b"".join(entries.pop("")).ljust(_ROOT_ENTRIES * 32, b"\0")
    sectors = 1 + 2 * fat_sectors + len(root) // _SECTOR + clusters * (cluster // _SECTOR)
    head = _boot_sector(sectors, fat_sectors, cluster, label) + 2 * table + root
    for one in entries.values():
        content = b"".join(one)
        head += content.ljust(-(-len(content) // cluster) * cluster, b"\0")
    padding = tuple(count * cluster - size for (_, size), count in zip(items, counts, strict=True))
    return Layout(head, padding[len(entries) :], (clusters - used) * cluster)


def _folders(paths: Sequence[str]) -> dict[str, int]:
    """How many entries each directory has, those it begins with too; the root is named by nothing."""
    folders = {"": 0}
    for path in paths:
        if path.startswith("/"):
            raise FatError(f"{path!r} cannot be the name of a file here")
        while path:
            path, name = _split(path)
            known = path in folders
            folders[path] = folders.get(path, 2) + len(_entries(name, 1, 0, 0))
            if known:
                break
    return dict(sorted(folders.items()))


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _dots(name: str, first: int) -> bytes:
    """The entry of a directory for itself, or for the one it is in."""
    stamp = struct.pack("<BBHHHHHHHI", 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, first, 0)
    return f"{name:<11}".encode() + bytes((_DIRECTORY,)) + stamp


def _label_entry(label: str) -> list[bytes]:
    if not label:
        return []
    if not _LABEL.match(label):
        raise FatError(f"{label!r} cannot be the label of a file system here")
    stamp = struct.pack("<BBHHHHHHHI", 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, 0, 0)
    return [f"{label:<11}".encode() + bytes((_VOLUME,)) + stamp]


def _boot_sector(sectors: int, fat_sectors: int, cluster: int, label: str) -> bytes:
    small = sectors if sectors < 0x10000 else 0
    sector = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x3c\x90", b"HOSTLER ", _SECTOR, cluster // _SECTOR, 1, 2, _ROOT_ENTRIES, small, 0xF8,
        fat_sectors, 63, 255, 0, 0 if small else sectors,
    )  # fmt: skip
    sector += struct.pack(
        "<BBBI11s8s", 0x80, 0, 0x29, 0x484F5354, f"{label or 'NO NAME':<11}".encode(), b"FAT16   "
    )
    return sector.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"


def _entries(name: str, number: int, first: int, size: int, kind: int = _ARCHIVE) -> list[bytes]:
    """The directory entries of a file: those of its long name, if it needs one, and the short one."""
    if not _NAME.match(name):
        raise FatError(f"{name!r} cannot be the name of a file here")
    if _SHORT.match(name) and name in (name.lower(), name.upper()):
        stem, _, extension = name.upper().partition(".")
        short = f"{stem:<8}{extension:<3}".encode()
        long = []
        case = _LOWER if name == name.lower() else 0
    else:
        short = f"LONG{number:04d}   ".encode()
        long = _long_entries(name, _checksum(short))
        case = 0
    stamp = struct.pack("<BBHHHHHHH", case, 0, 0, _DATE, _DATE, 0, 0, _DATE, first)
    return [*long, short + bytes((kind,)) + stamp + struct.pack("<I", size)]


def _long_entries(name: str, checksum: int) -> list[bytes]:
    units = name.encode("utf-16-le")
    if len(units) % 26:
        units = (units + b"\0\0").ljust(-(-(len(units) + 2) // 26) * 26, b"\xff")
    parts = [units[at : at + 26] for at in range(0, len(units), 26)]
    entries = [
        bytes((order,)) + part[:10] + bytes((_LONG_NAME, 0, checksum)) + part[10:22] + b"\0\0" + part[22:]
        for order, part in enumerate(parts, 1)
    ]
    entries[-1] = bytes((entries[-1][0] | 0x40,)) + entries[-1][1:]
    return entries[::-1]


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total & 1) << 7 | total >> 1) + byte & 0xFF
    return total
