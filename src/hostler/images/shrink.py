"""Making an image fit a smaller disk: its last file system shrunk to what it holds, the table moved up.

Works on a plain file, without loop devices and without root. What follows the last file system may be swap
areas alone, which are moved; ext2, ext3 and ext4 are shrunk by their own tools. Anything else stays as it is;
unused room behind the last partition goes in any case.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.images.store_errors import StoreError
from hostler.images.tool_run import ToolTimeoutError, run_tool
from hostler.model.partitions import HEAD_BYTES, Partition, PartitionError, PartitionTable, read_table
from hostler.model.volume import VOLUME_HEAD_BYTES, Volume, volume_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from subprocess import CompletedProcess

_ALIGNMENT = 1 << 20
_SPARE = 64 << 20
"""Bytes left free in a file system, besides a twentieth: a system without any room does not start."""
_TOOL_SECONDS = 3 * 3600.0
_CORRECTED = 1  # e2fsck(8): errors were found and mended, as after a journal was replayed
_SYSTEM_PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"  # a user's PATH may lack the first two
_PIECE = 1 << 20


class NotShrunkError(StoreError):
    """It cannot be made smaller; the text says why."""


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
        _clear(file.fileno(), max((part.end for part in table.partitions), default=0), before, beat)
        file.truncate(size)
        for offset, content in table.pieces(size):
            os.pwrite(file.fileno(), content, offset)
    return Shrunk(before, size, note)


def _bare(disk: Path, file: int, before: int, beat: Callable[[], None]) -> Shrunk:
    """A file system that has the whole disk."""
    if _volume(file, 0, before) is not Volume.EXT:
        return Shrunk(before, before, "it has no partition table, and no ext4 has the whole disk")
    part = disk.with_name("part")
    _copy(disk, 0, before, part, 0, beat)
    size = _resized(part, beat)
    os.ftruncate(file, 0)
    _copy(part, 0, size, disk, 0, beat)
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
    if volume is not Volume.EXT:
        return table, f"partition {last.number}, the last one, holds {volume}; only ext2, 3 and 4 are shrunk"
    part = disk.with_name("part")
    _copy(disk, last.start, last.size, part, 0, beat)
    size = -(-_resized(part, beat) // _ALIGNMENT) * _ALIGNMENT
    if size >= last.size:
        part.unlink()
        return table, f"the file system of partition {last.number} is as small as it can be"
    _clear(file, last.start, last.end, beat)
    _copy(part, 0, min(size, part.stat().st_size), disk, last.start, beat)
    part.unlink()
    return _moved(table.placed(last.number, last.start, size), behind, last.start + size, file, beat), ""


def _moved(
    table: PartitionTable, behind: Sequence[Partition], free: int, file: int, beat: Callable[[], None]
) -> PartitionTable:
    """Place swap areas one behind the other from a place on; of one its first page is all there is."""
    for part in behind:
        head = os.pread(file, min(part.size, VOLUME_HEAD_BYTES), part.start)
        _clear(file, part.start, part.end, beat)
        start = -(-free // _ALIGNMENT) * _ALIGNMENT
        os.pwrite(file, head, start)
        table = table.placed(part.number, start, part.size)
        free = start + part.size
    return table


def _resized(part: Path, beat: Callable[[], None]) -> int:
    """Check and shrink an ext file system in a file; returns its new size in bytes."""
    check = _run(beat, "e2fsck", "-f", "-p", part)
    if check.returncode not in (0, _CORRECTED):
        raise NotShrunkError(f"the image cannot be shrunk, its file system has errors: {_words(check)}")
    told = _run(beat, "resize2fs", "-P", part)
    _, _, least = told.stdout.rpartition(":")
    block = _block_size(part)
    if told.returncode or not least.strip().isdigit():
        raise NotShrunkError(f"resize2fs does not tell how small the file system can be: {_words(told)}")
    present = part.stat().st_size
    wanted = int(least) * block
    wanted = -(-(wanted + wanted // 20 + _SPARE) // _ALIGNMENT) * _ALIGNMENT
    if wanted >= present:
        return present
    done = _run(beat, "resize2fs", part, f"{wanted // 1024}K")
    if done.returncode:
        raise NotShrunkError(f"the file system cannot be shrunk: {_words(done)}")
    os.truncate(part, wanted)
    return wanted


def _block_size(part: Path) -> int:
    """Bytes of a block: 1024 shifted by what the superblock says (fs/ext4/ext4.h, ``s_log_block_size``)."""
    with part.open("rb") as file:
        file.seek(1024 + 24)
        return 1024 << int.from_bytes(file.read(4), "little")


def _run(beat: Callable[[], None], tool: str, *arguments: str | Path) -> CompletedProcess[str]:
    program = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PLACES}")
    if program is None:
        raise NotShrunkError(f"shrinking needs {tool} on the server: apt install e2fsprogs")
    try:
        return run_tool([program, *arguments], _TOOL_SECONDS, beat)
    except ToolTimeoutError as error:
        raise NotShrunkError(f"the image cannot be shrunk: {error}") from None


def _words(done: CompletedProcess[str]) -> str:
    return " ".join(f"{done.stderr} {done.stdout}".split())[-300:]


def _volume(file: int, start: int, size: int) -> Volume:
    return volume_of(os.pread(file, min(size, VOLUME_HEAD_BYTES), start))


def _clear(file: int, start: int, end: int, beat: Callable[[], None]) -> None:
    """Make a stretch of a sparse file a hole, by writing only zeros where there is no such thing."""
    zeros = bytes(_PIECE)
    for first, last in _data(file, start, end):
        at = first
        while at < last:
            at += os.pwrite(file, zeros[: last - at], at)
            beat()


def _copy(source: Path, offset: int, length: int, target: Path, place: int, beat: Callable[[], None]) -> None:
    """Copy a stretch of a sparse file into another, holes as holes; the target is made if it is not there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    with source.open("rb") as reading, os.fdopen(os.open(target, flags, 0o600), "r+b") as writing:
        if os.fstat(writing.fileno()).st_size < place + length:
            writing.truncate(place + length)
        for first, last in _data(reading.fileno(), offset, offset + length):
            at = first
            while at < last:
                piece = os.pread(reading.fileno(), min(_PIECE, last - at), at)
                if not piece:
                    break
                os.pwrite(writing.fileno(), piece, place + at - offset)
                at += len(piece)
                beat()


def _data(file: int, start: int, end: int) -> list[tuple[int, int]]:
    """Return where a stretch of a file is no hole."""
    found, at = [], start
    while at < end:
        try:
            first = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        if first >= end:
            break
        at = min(end, os.lseek(file, first, os.SEEK_HOLE))
        found.append((first, at))
    return found
