"""Giving chunks of an image to another server, many in one answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from hostler.images.store_errors import StoreError
from hostler.model.chunk_stream import HEADER, header

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from hostler.images.store import ImageStore

_IMAGES = 4  # whose chunks' names are remembered, a hundred bytes for each


class ChunkBatch:
    """Some chunks as one string of bytes; see ``model.chunk_stream``.

    Frames are given out as they are stored: who asked checks each against its name.

    Attributes:
        size: Its length in bytes.
    """

    def __init__(self, frames: Sequence[Path | None]) -> None:
        self._frames: list[tuple[Path, int] | None] = []
        self.size = 0
        for path in frames:
            length = _length(path)
            self._frames.append((path, length) if path is not None and length else None)
            self.size += HEADER + length

    def pieces(self) -> Iterator[bytes]:
        """Yield it, a chunk at a time; raises StoreError when one has gone meanwhile."""
        for frame in self._frames:
            if frame is None:
                yield header(0)
                continue
            path, length = frame
            try:
                data = path.read_bytes()
            except OSError as error:
                raise StoreError(f"chunk {path.name} cannot be read: {error.strerror}") from error
            if len(data) != length:
                raise StoreError(f"chunk {path.name} was stored anew meanwhile")
            yield header(length) + data


class ChunkGiver:
    """Gives out chunks of a store, of one image at a time.

    Args:
        store: The store.
    """

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[str, frozenset[str]] = OrderedDict()

    def batch(self, index: str, digests: Collection[str]) -> ChunkBatch:
        """Open chunks of an image; those that are not of it count as not there.

        Raises:
            StoreError: there is no such index, or it is damaged.
        """
        mine = self._chunks_of(index)
        return ChunkBatch([self._store.chunk_path(one) if one in mine else None for one in digests])

    def _chunks_of(self, index: str) -> frozenset[str]:
        with self._lock:
            found = self._known.get(index)
            if found is None:
                found = self._known[index] = frozenset(self._store.index(index).distinct())
                while len(self._known) > _IMAGES:
                    self._known.popitem(last=False)
            self._known.move_to_end(index)
            return found


def _length(path: Path | None) -> int:
    try:
        return path.stat().st_size if path is not None else 0
    except OSError:
        return 0
