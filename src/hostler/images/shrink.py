"""Making an image fit a smaller disk: its last file system shrunk to what it holds, the table moved up.

Works on a plain file. What follows the last file system may be swap areas alone, which are moved; ext2 to
ext4, btrfs and FAT are shrunk. Anything else stays as it is, and it is said why; unused room behind the last
partition goes in any case.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.images.shrink_btrfs import shrink_btrfs, why_btrfs_is_kept
from hostler.images.shrink_ext import shrink_ext
from hostler.images.shrink_fat import shrink_fat
from hostler.images.shrink_tools import NotShrunkError, aligned
from hostler.images.sparse_file import clear, copy
from hostler.model.partitions import HEAD_BYTES, Partition, PartitionError, PartitionTable, read_table
from hostler.model.volume import VOLUME_HEAD_BYTES, Volume, volume_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_SHRINK = {Volume.EXT: shrink_ext, Volume.BTRFS: shrink_btrfs, Volume.FAT: shrink_fat}
_WHY_KEPT = {
    Volume.XFS: "which nothing makes smaller",
    Volume.NTFS: "which only Windows is trusted to make smaller",
    Volume.LUKS: "which is encrypted",
    Volume.LVM: "which has file systems of its own in it",
    Volume.SLEEP: "which would not wake up",
}


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What came of it.

    Attributes:
        before: Bytes of the disk.
        size: Bytes now.
        note: Why not more, for people; empty when a file system was shrunk.
    """

    before: int
    size: int
    note: str = ""


def shrink(disk: Path, beat: Callable[[], None]) -> Shrunk:
    """Make a disk in a sparse file as small as can be; the file is changed.

    Args:
        disk: The file; another one, as large, lies beside it meanwhile.
        beat: Called all the while; what it raises ends the work, and the file may be changed then.

    Raises:
        NotShrunkError: It has a damaged partition table, or a tool failed; the file may be changed then.
        OSError: The file cannot be read or written.
    """
    before = disk.stat().st_size
    with disk.open("r+b") as file:
        try:
            table = read_table(file.read(HEAD_BYTES))
        except PartitionError as error:
            raise NotShrunkError(f"the image cannot be shrunk: {error}") from None
        if table is None:
            return _bare(disk, file.fileno(), before, beat)
        table, note = _shrunk(table, disk, file.fileno(), beat)
        size = min(table.smallest, before)
        clear(file.fileno(), max((part.end for part in table.partitions), default=0), before, beat)
        file.truncate(size)
        for offset, content in table.pieces(size):
            os.pwrite(file.fileno(), content, offset)
    return Shrunk(before, size, note)


def _bare(disk: Path, file: int, before: int, beat: Callable[[], None]) -> Shrunk:
    """A file system that has the whole disk."""
    volume = _volume(file, 0, before)
    if why := _why_kept(volume):
        return Shrunk(before, before, f"it has no partition table, and the whole disk holds {why}")
    part = disk.with_name("part")
    copy(disk, 0, before, part, 0, beat)
    size = aligned(_SHRINK[volume](part, beat))
    if size >= before:
        part.unlink()
        return Shrunk(before, before, f"the {volume} that has the whole disk is as small as it can be")
    os.ftruncate(file, 0)
    copy(part, 0, part.stat().st_size, disk, 0, beat)
    part.unlink()
    os.truncate(disk, size)
    return Shrunk(before, size)


def _shrunk(
    table: PartitionTable, disk: Path, file: int, beat: Callable[[], None]
) -> tuple[PartitionTable, str]:
    """Shrink the last file system and move swap areas up to it."""
    if table.has_extended:
        return table, "it has logical partitions, which are left where they are"
    ordered = sorted(table.partitions, key=lambda part: part.start)
    kinds = {part.number: _volume(file, part.start, part.size) for part in ordered}
    behind: list[Partition] = []
    while ordered and kinds[ordered[-1].number] in (Volume.SWAP, Volume.EMPTY):
        behind.insert(0, ordered.pop())
    if not ordered:
        return table, "it has no file system"
    last, volume = ordered[-1], kinds[ordered[-1].number]
    if why := _why_kept(volume):
        return table, f"partition {last.number}, the last one, holds {why}"
    part = disk.with_name("part")
    copy(disk, last.start, last.size, part, 0, beat)
    size = aligned(_SHRINK[volume](part, beat))
    if size >= last.size:
        part.unlink()
        return table, f"the {volume} of partition {last.number} is as small as it can be"
    clear(file, last.start, last.end, beat)
    copy(part, 0, min(size, part.stat().st_size), disk, last.start, beat)
    part.unlink()
    return _moved(table.placed(last.number, last.start, size), behind, last.start + size, file, beat), ""


def _why_kept(volume: Volume) -> str:
    """Say what a file system is that is not shrunk, and why not; empty when it is."""
    if volume is Volume.BTRFS:
        why = why_btrfs_is_kept()
        return f"{volume}, which {why}" if why else ""
    if volume in _SHRINK:
        return ""
    return f"{volume}, {_WHY_KEPT.get(volume, 'of which is not known how to make it smaller')}"


def _moved(
    table: PartitionTable, behind: Sequence[Partition], free: int, file: int, beat: Callable[[], None]
) -> PartitionTable:
    """Place swap areas one behind the other from a place on; of one its first page is all there is."""
    for part in behind:
        head = os.pread(file, min(part.size, VOLUME_HEAD_BYTES), part.start)
        clear(file, part.start, part.end, beat)
        start = aligned(free)
        os.pwrite(file, head, start)
        table = table.placed(part.number, start, part.size)
        free = start + part.size
    return table


def _volume(file: int, start: int, size: int) -> Volume:
    return volume_of(os.pread(file, min(size, VOLUME_HEAD_BYTES), start))
