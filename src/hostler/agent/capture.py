"""Capturing: a disk's bytes in use, cut on the grid of images, to the rack; what it has does not travel.

A few workers each read the next cells of the grid that hold something, hash them, ask the rack in one
question which of the chunks it lacks, and compress and send those. One worker's disk read is another's
network wait. The index goes last; until the rack has put it beside its chunks there is no image. Chunks it
has lost meanwhile, by a restart or because an image was removed, are read and sent again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import zstandard

from hostler.agent.extents import in_threads
from hostler.agent.media import aligned_buffer
from hostler.agent.work import StepError
from hostler.model.chunkindex import Chunk, ChunkIndex, digest_of_zeros

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from hostler.agent.extents import Extent
    from hostler.agent.picture import Picture
    from hostler.agent.work import Work
    from hostler.model.json import Document

WORKERS = 3
_CELLS = 8
"""Cells that a worker has at once: with three workers 24 MiB, and a question for each 8 MiB."""
_LEVEL = 3  # as imports have it
_ROUNDS = 5
"""How often the rack may lose what was sent to it again, or lack something without saying what."""


class ChunkTaker(Protocol):
    """Who takes a captured image."""

    def lacking(self, digests: Sequence[str]) -> Collection[str]:
        """Return which of these chunks are not there."""
        ...

    def take_chunk(self, digest: str, frame: bytes) -> None:
        """Take a chunk as a zstd frame; raises StepError when it will not have it."""
        ...

    def take_index(self, encoded: bytes) -> Collection[str]:
        """Take the index; returns chunks of it that are not there, not necessarily all of them."""
        ...

    def finish(self, index: str) -> bool:
        """Have everything put into the store; False: something of it has gone, ask again what."""
        ...


@dataclass(slots=True)
class Captured:
    """What a capture did; ``to_json`` is part of the step's result.

    Attributes:
        index: Id of the chunk index.
        size: Bytes of the image.
        data_bytes: Bytes of it that are not holes.
        chunks: Chunks of it.
        sent_chunks: Chunks that travelled.
        sent_bytes: Bytes of their frames.
        read_bytes: Bytes read from the disk.
    """

    index: str = ""
    size: int = 0
    data_bytes: int = 0
    chunks: int = 0
    sent_chunks: int = 0
    sent_bytes: int = 0
    read_bytes: int = 0
    seconds: float = 0.0

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        document: Document = {name: getattr(self, name) for name in self.__slots__}
        document["seconds"] = round(self.seconds, 3)
        return document


def capture(picture: Picture, taker: ChunkTaker, work: Work, chunk_size: int) -> Captured:
    """Send what an image is to hold.

    Args:
        picture: What it is to hold.
        taker: Who takes it.
        work: Takes progress (bytes in use) and log.
        chunk_size: Width of the grid in bytes.

    Raises:
        StepError: The disk cannot be read, or the taker will not have it.
    """
    started = time.monotonic()
    sending = _Sending(picture, taker, work, chunk_size)
    cells = list(picture.used.cells(chunk_size))
    work.begin("executing", sum(min(chunk_size, picture.size - cell * chunk_size) for cell in cells))
    sending.send(cells)
    index = ChunkIndex.build(picture.size, chunk_size, sending.digests)
    work.begin("verifying", index.size)
    lost, again = 0, set[str]()
    while lost < _ROUNDS:
        absent = set(taker.take_index(index.encode()))
        if not absent and taker.finish(index.id):
            break
        # One answer names but some of a large image's chunks: others than before are no loss of those.
        if not absent or not again.isdisjoint(absent):
            lost, again = lost + 1, set()
        if absent:
            work.say(f"capture: the rack lacks {len(absent)} chunks, which are sent again")
            places = {chunk.digest: chunk.offset // chunk_size for chunk in index if chunk.digest in absent}
            sending.send(sorted(places.values()))
            again |= absent
    else:
        raise StepError(f"the rack has lost chunks of the image {_ROUNDS} times; capture it again")
    return Captured(
        index.id, index.size, index.data_bytes, len(index), sending.sent_chunks, sending.sent_bytes,
        sending.read_bytes, time.monotonic() - started,
    )  # fmt: skip


class _Sending:
    """A capture under way."""

    def __init__(self, picture: Picture, taker: ChunkTaker, work: Work, chunk_size: int) -> None:
        self.picture = picture
        self.taker = taker
        self.work = work
        self.chunk_size = chunk_size
        self.sent_chunks = 0
        self.sent_bytes = 0
        self.read_bytes = 0
        self._found: dict[int, bytes] = {}
        self._lock = threading.Lock()

    @property
    def digests(self) -> list[tuple[int, bytes]]:
        """Number on the grid and digest of every chunk found."""
        return list(self._found.items())

    def send(self, cells: Sequence[int]) -> None:
        """Read cells of the grid and send what the taker lacks of them."""
        groups = [
            tuple(Chunk(cell * self.chunk_size, self._length(cell), "") for cell in cells[at : at + _CELLS])
            for at in range(0, len(cells), _CELLS)
        ]
        in_threads(self._work, groups, WORKERS, self.work)

    def _work(self, _number: int, groups: Iterator[Extent]) -> None:
        buffer = aligned_buffer(_CELLS * self.chunk_size)
        compressor = zstandard.ZstdCompressor(level=_LEVEL)
        for group in groups:
            self._take(group, buffer, compressor)
            self.work.advance(sum(chunk.length for chunk in group))

    def _take(self, group: Extent, buffer: memoryview, compressor: zstandard.ZstdCompressor) -> None:
        for first, last in _runs(group):
            at, end = first * self.chunk_size, group[last].offset + group[last].length - group[first].offset
            self.picture.read(buffer[at : at + end], group[first].offset)
        there: dict[str, memoryview] = {}
        for place, chunk in enumerate(group):
            plain = buffer[place * self.chunk_size :][: chunk.length]
            digest = hashlib.sha256(plain).digest()
            number = chunk.offset // self.chunk_size
            with self._lock:
                self.read_bytes += chunk.length
                if digest == digest_of_zeros(chunk.length):
                    self._found.pop(number, None)
                    continue
                self._found[number] = digest
            there[digest.hex()] = plain
        for digest_text in self.taker.lacking(list(there)) if there else ():
            frame = compressor.compress(there[digest_text])
            self.taker.take_chunk(digest_text, frame)
            with self._lock:
                self.sent_chunks += 1
                self.sent_bytes += len(frame)
            self.work.check()

    def _length(self, cell: int) -> int:
        return min(self.chunk_size, self.picture.size - cell * self.chunk_size)


def _runs(group: Extent) -> Iterator[tuple[int, int]]:
    """Yield the first and last place in a group of cells that lie side by side on the disk."""
    first = 0
    for place in range(1, len(group) + 1):
        before = group[place - 1]
        if place == len(group) or group[place].offset != before.offset + before.length:
            yield first, place - 1
            first = place
