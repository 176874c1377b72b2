"""How small an image of a disk could be made, told from a few of its chunks, without making it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images.chunk_frame import plain_chunk
from hostler.images.shrink_ext import used_by_ext
from hostler.images.shrink_fat import used_by_fat
from hostler.images.shrink_tools import aligned, with_room
from hostler.model.fat_layout import FatError
from hostler.model.partitions import HEAD_BYTES, PartitionError, read_table
from hostler.model.volume import VOLUME_HEAD_BYTES, Volume, volume_of

if TYPE_CHECKING:
    from hostler.images.store import ImageStore
    from hostler.model.chunkindex import ChunkIndex
    from hostler.model.partitions import PartitionTable


def estimate(store: ImageStore, index: ChunkIndex) -> int | None:
    """Return about how many bytes a disk needs for an image that `hostler image shrink` has made smaller.

    None: it would not become smaller, or nobody knows before it is tried (btrfs tells less than it takes).

    Args:
        store: Has the chunks.
        index: The image.

    Raises:
        OSError: A chunk is not there or cannot be read.
        StoreError: One is damaged.
    """
    reader = _Reader(store, index)
    try:
        table = read_table(reader.read(0, HEAD_BYTES))
        size = _bare(reader, index.size) if table is None else _with_table(reader, table)
    except (PartitionError, FatError):
        return None
    return size if size is not None and size < index.size else None


def _bare(reader: _Reader, size: int) -> int | None:
    used = _used(reader, 0, size)
    return None if used is None else with_room(used)


def _with_table(reader: _Reader, table: PartitionTable) -> int | None:
    if table.has_extended:
        return table.smallest
    ordered = sorted(table.partitions, key=lambda part: part.start)
    behind = 0
    while ordered and reader.volume(ordered[-1].start, ordered[-1].size) in (Volume.SWAP, Volume.EMPTY):
        behind += aligned(ordered.pop().size)
    if not ordered:
        return table.smallest
    last = ordered[-1]
    used = _used(reader, last.start, last.size)
    if used is None:
        return table.smallest
    return table.smallest - max(0, last.size + behind - min(with_room(used), last.size) - behind)


def _used(reader: _Reader, start: int, size: int) -> int | None:
    """Return the bytes that the file system there uses; None when that is not known."""
    volume = reader.volume(start, size)
    if volume is Volume.EXT:
        return used_by_ext(reader.read(start, VOLUME_HEAD_BYTES))
    if volume is Volume.FAT:
        return used_by_fat(lambda at, length: reader.read(start + at, length))
    return None


class _Reader:
    """An image as bytes."""

    def __init__(self, store: ImageStore, index: ChunkIndex) -> None:
        self._store = store
        self._grid = index.chunk_size
        self._size = index.size
        self._chunks = {chunk.offset: chunk for chunk in index}

    def read(self, start: int, length: int) -> bytes:
        """Return a stretch, or less at the end of the image; what is left out reads as zeros."""
        end = min(start + length, self._size)
        found = bytearray()
        for place in range(start // self._grid * self._grid, end, self._grid):
            found += self._piece(place)
        skip = start % self._grid
        return bytes(found[skip : skip + end - start])

    def volume(self, start: int, size: int) -> Volume:
        """Tell what begins there."""
        return volume_of(self.read(start, min(size, VOLUME_HEAD_BYTES)))

    def _piece(self, place: int) -> bytes:
        chunk = self._chunks.get(place)
        if chunk is None:
            return bytes(self._grid)
        return plain_chunk(chunk.digest, self._store.chunk_path(chunk.digest).read_bytes()).ljust(
            self._grid, b"\0"
        )
