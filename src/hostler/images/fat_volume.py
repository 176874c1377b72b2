"""A FAT16 or FAT32 in a file: what it uses, and how its clusters move so that it ends earlier.

Everything before the clusters stays where it is, and so does whatever boots from there; only clusters behind
the new end move. A FAT12 is too small to be worth it.
"""

from __future__ import annotations

import os
import struct
from array import array
from typing import TYPE_CHECKING

from hostler.model.fat_layout import FAT_HEAD_BYTES, FIRST_CLUSTER, FatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.fat_layout import FatLayout

_MOST_TABLE = 32 * 1024 * 1024
"""Bytes of a table, which is held in memory some times over: 256 GiB in clusters of 32 KiB."""
_SMALLEST = {16: 4085 + 16, 32: 65525 + 16}
"""Clusters from which on it is of this kind; the specification says to stay 16 away from it."""
_MASK = {16: 0xFFFF, 32: 0x0FFFFFFF}
_BAD = {16: 0xFFF7, 32: 0x0FFFFFF7}
_CODE = {16: "H", 32: "I"}
_ENTRY = 32
_DELETED, _LAST = 0xE5, 0
_VOLUME_ID, _DIRECTORY = 0x08, 0x10  # the entries of long names have the first as well
_FREE_COUNT_AT, _INFO_MARK_AT, _INFO_MARK = 488, 484, b"rrAa"


def table_bytes(layout: FatLayout) -> int:
    """Return how many bytes of a table are to be read; raises FatError for one that is too long for that."""
    if layout.table_used > _MOST_TABLE:
        raise FatError(f"it has {layout.clusters} clusters, which are too many to be looked through")
    return layout.table_used


def used_clusters(layout: FatLayout, table: bytes) -> int:
    """Return how many clusters hold something."""
    mask, bad = _MASK[layout.bits], _BAD[layout.bits]
    return sum(entry & mask not in (0, bad) for entry in _entries(layout, table)[FIRST_CLUSTER:])


def fewest_clusters(layout: FatLayout, wanted: int) -> int:
    """Return how many clusters it is to have, to be as large as wanted and to stay of its kind."""
    return max(-(-(wanted - layout.data) // layout.cluster), _SMALLEST[layout.bits])


class FatMove:
    """Clusters on their way in a file.

    Args:
        file: Descriptor of the file, open for reading and writing.
        layout: How it is laid out.
        clusters: How many clusters it is to have.
        beat: Called all the while; what it raises ends the work, and the file is not whole then.
    """

    def __init__(self, file: int, layout: FatLayout, clusters: int, beat: Callable[[], None]) -> None:
        self._file = file
        self._layout = layout
        self._clusters = clusters
        self._beat = beat
        self._entries = _entries(layout, os.pread(file, table_bytes(layout), layout.table))
        self._moved: dict[int, int] = {}

    def run(self) -> int:
        """Move what lies behind the new end; returns the new size in bytes."""
        layout, end = self._layout, self._clusters + FIRST_CLUSTER
        mask, bad = _MASK[layout.bits], _BAD[layout.bits]
        late = [
            number
            for number in range(end, len(self._entries))
            if self._entries[number] & mask not in (0, bad)
        ]
        free = (number for number in range(FIRST_CLUSTER, end) if not self._entries[number] & mask)
        self._moved = dict(zip(late, free, strict=False))
        if len(self._moved) < len(late):
            raise FatError("it has more in it than it would have room for")
        for old, new in self._moved.items():
            os.pwrite(self._file, os.pread(self._file, layout.cluster, layout.place(old)), layout.place(new))
            self._beat()
        self._write_tables()
        self._redirect()
        self._write_layout()
        return layout.bytes_with(self._clusters)

    def _write_tables(self) -> None:
        layout, mask = self._layout, _MASK[self._layout.bits]
        entries = array(_CODE[layout.bits], bytes(table_bytes(layout)))
        for number, entry in enumerate(self._entries):
            if number >= self._clusters + FIRST_CLUSTER and number not in self._moved:
                continue
            after = entry & mask
            if number >= FIRST_CLUSTER:
                after = self._moved.get(after, after)
            entries[self._moved.get(number, number)] = (entry & ~mask) | after
        for copy in range(layout.tables):
            os.pwrite(self._file, entries.tobytes(), layout.table + copy * layout.table_bytes)
            self._beat()
        self._entries = entries

    def _redirect(self) -> None:
        """Have directories name the clusters where their files and directories begin now."""
        layout = self._layout
        if layout.bits == 16:
            found = self._redirected(layout.root, layout.root_bytes)[0]
        else:
            found = [self._moved.get(layout.root, layout.root)]
        seen: set[int] = set()
        while found:
            at = found.pop()
            while FIRST_CLUSTER <= at < self._clusters + FIRST_CLUSTER and at not in seen:
                seen.add(at)
                inner, last = self._redirected(layout.place(at), layout.cluster)
                found += inner
                if last:
                    break
                at = self._entries[at] & _MASK[layout.bits]
                self._beat()

    def _redirected(self, place: int, length: int) -> tuple[list[int], bool]:
        """Change a stretch of a directory; returns the directories in it, and whether it ends there."""
        content = bytearray(os.pread(self._file, length, place))
        inner, last = [], False
        for at in range(0, len(content), _ENTRY):
            if content[at] == _LAST:
                last = True
                break
            kind = content[at + 11]
            if content[at] == _DELETED or kind & _VOLUME_ID:
                continue
            begins = _word(content, at + 26, 2)
            if self._layout.bits == 32:
                begins |= _word(content, at + 20, 2) << 16
            now = self._moved.get(begins, begins)
            content[at + 26 : at + 28] = (now & 0xFFFF).to_bytes(2, "little")
            if self._layout.bits == 32:
                content[at + 20 : at + 22] = (now >> 16).to_bytes(2, "little")
            if kind & _DIRECTORY and content[at] != ord("."):
                inner.append(now)
        os.pwrite(self._file, content, place)
        return inner, last

    def _write_layout(self) -> None:
        layout = self._layout
        sectors = layout.bytes_with(self._clusters) // layout.sector
        for copy in layout.copies:
            place = copy * layout.sector
            head = bytearray(os.pread(self._file, FAT_HEAD_BYTES, place))
            short = bool(_word(head, 19, 2))
            head[19:21] = (sectors if short else 0).to_bytes(2, "little")
            head[32:36] = (0 if short else sectors).to_bytes(4, "little")
            if layout.bits == 32:
                head[44:48] = self._moved.get(layout.root, layout.root).to_bytes(4, "little")
            os.pwrite(self._file, head, place)
        mask = _MASK[layout.bits]
        free = sum(
            not entry & mask for entry in self._entries[FIRST_CLUSTER : self._clusters + FIRST_CLUSTER]
        )
        for sector in layout.info:
            place = sector * layout.sector
            if os.pread(self._file, 4, place + _INFO_MARK_AT) == _INFO_MARK:
                os.pwrite(self._file, struct.pack("<II", free, FIRST_CLUSTER), place + _FREE_COUNT_AT)


def _entries(layout: FatLayout, table: bytes) -> array[int]:
    """Return the entries of a table, those of the first two that are no clusters too."""
    found = array(_CODE[layout.bits])
    found.frombytes(table[: (layout.clusters + FIRST_CLUSTER) * found.itemsize])
    return found


def _word(head: bytes | bytearray, at: int, length: int) -> int:
    return int.from_bytes(head[at : at + length], "little")
