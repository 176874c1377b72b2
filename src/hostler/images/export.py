"""Giving an image out as it came in: raw, or as zstd without compressing anything anew.

The zstd form is the stored frames one behind the other, with a frame of zeros for each hole; every zstd tool
reads that. Each chunk is checked before a byte of it leaves.
"""

from __future__ import annotations

import bisect
from array import array
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
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
        self._image_size = found.size
        self._places = -(-found.size // self._grid)
        # Only chunks are kept: of holes there may be millions, and where each lies follows from its number.
        self._hole = self._hole_length(0)
        self._digests: list[str] = []
        self._numbers = array("Q")
        self._starts = array("Q")  # of each chunk in what is given out
        self._lengths = array("Q")
        start = place = 0
        for chunk in found:
            number = chunk.offset // self._grid
            start += (number - place) * self._hole
            length = chunk.length if form is ExportForm.RAW else self._frame_length(chunk.digest)
            self._digests.append(chunk.digest)
            self._numbers.append(number)
            self._starts.append(start)
            self._lengths.append(length)
            start, place = start + length, number + 1
        if place < self._places:
            start += (self._places - 1 - place) * self._hole + self._hole_length(self._places - 1)
        self.size = start
        tag = ""
        if form is ExportForm.ZSTD:
            # A chunk that was stored anew may have another frame, and so may zeros from another zstd.
            frames = sha256(self._lengths.tobytes())
            frames.update(_zero_frame(self._grid))
            tag = frames.hexdigest()[:16]
        self.tag = f"{form.value}-{index[:32]}{tag}"

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``, a chunk at a time.

        Raises:
            DamagedChunkError: a chunk is not what its name says; nothing of it was given out.
            StoreError: a chunk is gone.
        """
        stop = self.size if end is None else min(end, self.size)
        while start < stop:
            begin, whole = self._piece_at(start)
            piece = whole[start - begin : stop - begin]
            yield piece
            start += len(piece)

    def _piece_at(self, offset: int) -> tuple[int, bytes]:
        """Return the chunk or the hole of one place that lies at an offset, and where it begins."""
        at = bisect.bisect_right(self._starts, offset) - 1
        end = place = 0
        if at >= 0:
            end, place = self._starts[at] + self._lengths[at], self._numbers[at] + 1
            if offset < end:
                return self._starts[at], self._chunk(at)
        # The last place may be shorter than the others.
        number = min(place + (offset - end) // self._hole, self._places - 1)
        length = self._hole_length(number)
        zeros = bytes(length) if self._form is ExportForm.RAW else _zero_frame(self._plain_length(number))
        return end + (number - place) * self._hole, zeros

    def _chunk(self, at: int) -> bytes:
        digest = self._digests[at]
        try:
            frame = self._store.chunk_path(digest).read_bytes()
        except FileNotFoundError:
            raise StoreError(_gone(digest)) from None
        plain = plain_chunk(digest, frame)
        whole = plain if self._form is ExportForm.RAW else frame
        if len(whole) != self._lengths[at]:
            raise StoreError(f"chunk {digest} was stored anew meanwhile; begin again")
        return whole

    def _plain_length(self, number: int) -> int:
        return min(self._grid, self._image_size - number * self._grid)

    def _hole_length(self, number: int) -> int:
        plain = self._plain_length(number)
        return plain if self._form is ExportForm.RAW else len(_zero_frame(plain))

    def _frame_length(self, digest: str) -> int:
        try:
            length = self._store.chunk_path(digest).stat().st_size
        except FileNotFoundError:
            length = 0
        if not length:  # no frame is empty, and what takes no room would be passed over
            raise StoreError(_gone(digest))
        return length


def _gone(digest: str) -> str:
    return f"chunk {digest} is missing from the store: `hostler image verify` tells what to do"


@lru_cache(maxsize=8)
def _zero_frame(length: int) -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(length))
