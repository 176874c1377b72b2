"""Giving an image out as it came in: raw, or as zstd without compressing anything anew.

The zstd form is the stored frames one behind the other, with a frame of zeros for each hole; every zstd tool
reads that. Each chunk is checked before a byte of it leaves.
"""

from __future__ import annotations

import bisect
import hashlib
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

import zstandard

from hostler.images.chunk_frame import plain_chunk
from hostler.images.store_errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.images.store import ImageStore


class ExportForm(StrEnum):
    """What an image is given out as."""

    RAW = "raw"
    ZSTD = "zst"


class Export:
    """An image as one string of bytes, of which any part can be had.

    Args:
        store: The store.
        index: Artefact id of its chunk index.
        form: What it is to be.

    Attributes:
        size: Its length in bytes.
        tag: Two exports with the same tag are the same bytes.

    Raises:
        UnknownArtefactError: there is no such index.
        StoreError: the index is damaged, or a chunk is missing.
    """

    def __init__(self, store: ImageStore, index: str, form: ExportForm) -> None:
        self._store = store
        self._form = form
        found = store.index(index)
        self._grid = found.chunk_size
        self._digests = {chunk.offset // self._grid: chunk.digest for chunk in found}
        self._image_size = found.size
        places = -(-found.size // self._grid)
        lengths = [self._length(number) for number in range(places)]
        self._ends = list(accumulate(lengths))
        self.size = self._ends[-1] if self._ends else 0
        # A chunk that was stored anew may have another frame.
        lengths_digest = hashlib.sha256(repr(lengths).encode()).hexdigest() if form is ExportForm.ZSTD else ""
        self.tag = f"{form.value}-{index[:32]}{lengths_digest[:16]}"

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``, a chunk at a time.

        Raises:
            DamagedChunkError: a chunk is not what its name says; nothing of it was given out.
            StoreError: a chunk is gone.
        """
        stop = self.size if end is None else min(end, self.size)
        number = bisect.bisect_right(self._ends, start)
        while start < stop:
            begin = self._ends[number] - self._length(number)
            whole = self._bytes(number)
            if begin + len(whole) != self._ends[number]:
                raise StoreError(f"chunk {self._digests.get(number)} was stored anew meanwhile; begin again")
            piece = whole[start - begin : stop - begin]
            yield piece
            start += len(piece)
            number += 1

    def _plain_length(self, number: int) -> int:
        return min(self._grid, self._image_size - number * self._grid)

    def _length(self, number: int) -> int:
        digest = self._digests.get(number)
        if self._form is ExportForm.RAW:
            return self._plain_length(number)
        if digest is None:
            return len(_zero_frame(self._plain_length(number)))
        try:
            return self._store.chunk_path(digest).stat().st_size
        except FileNotFoundError:
            raise StoreError(_gone(digest)) from None

    def _bytes(self, number: int) -> bytes:
        digest = self._digests.get(number)
        raw = self._form is ExportForm.RAW
        if digest is None:
            length = self._plain_length(number)
            return bytes(length) if raw else _zero_frame(length)
        try:
            frame = self._store.chunk_path(digest).read_bytes()
        except FileNotFoundError:
            raise StoreError(_gone(digest)) from None
        plain = plain_chunk(digest, frame)
        return plain if raw else frame


def _gone(digest: str) -> str:
    return f"chunk {digest} is missing from the store: `hostler image verify` tells what to do"


@lru_cache(maxsize=8)
def _zero_frame(length: int) -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(length))
