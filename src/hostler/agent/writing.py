"""Bringing chunks to a disk: those that it lacks, over HTTP, from other boards or out of the carousel."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

import zstandard

from hostler.agent.carousel import listen
from hostler.agent.extents import (
    EXTENT,
    DamagedError,
    Extent,
    equal_chunks,
    frame_limit,
    in_threads,
    runs_without,
    unpack,
)
from hostler.agent.looking import Looking, probes
from hostler.agent.media import aligned_buffer, up
from hostler.agent.work import ImageFaultError, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hostler.agent.carousel import Caller
    from hostler.agent.media import Media
    from hostler.agent.peers import Peers
    from hostler.agent.work import Work
    from hostler.model.chunkindex import Chunk, ChunkIndex
    from hostler.model.json import Document

CHUNK_TRIES = 3


class ChunkSource(Protocol):
    """Where frames come from. Called from several threads."""

    def chunk(self, digest: str, into: memoryview) -> int:
        """Put the zstd frame of a chunk into the buffer; return its length."""
        ...


class Writing:
    """One image on its way to one disk.

    Args:
        index: The image.
        media: The disk, open for writing.
        source: Where chunks come from.
        work: Takes progress.
        workers: How many extents are under way at once.

    Attributes:
        fetched_bytes: Bytes of the frames that came over the network.
        shared_bytes: Of those, the bytes that came out of a carousel.
        kept_bytes: Plain bytes that were on the disk already.
        written: What was written; to be read back.
    """

    def __init__(
        self, index: ChunkIndex, media: Media, source: ChunkSource, work: Work, workers: int
    ) -> None:
        self._index = index
        self._media = media
        self._source = source
        self._work = work
        self._workers = workers
        self._lock = threading.Lock()
        self._own = threading.local()
        self.fetched_bytes = 0
        self.shared_bytes = 0
        self.kept_bytes = 0
        self.written: list[Extent] = []

    def first_look(self) -> Looking:
        """Read the first chunk, and a few all over the disk."""
        looking = Looking()
        chunks = list(self._index)
        buffer = aligned_buffer(self._index.chunk_size)
        if chunks and self._is_there(chunks[0], buffer):
            # A write that was broken off has left its beginning, however little that is of the whole; where
            # only the first chunk is there, a few extents are read in vain.
            looking.began(1, 1)
            return looking
        chosen = probes(chunks)
        equal = 0
        for chunk in chosen:
            equal += self._is_there(chunk, buffer)
            self._work.check()
        looking.began(equal, len(chosen))
        return looking

    def fetch(
        self,
        extents: Iterable[Extent],
        looking: Looking | None,
        until: Callable[[], bool] = lambda: False,
    ) -> list[Extent]:
        """Fetch by HTTP and write what the disk does not hold; return what is left when ``until`` holds.

        Raises:
            StepError: a chunk is not to be had, or the disk fails.
        """
        unfinished: list[Extent] = []

        def work_on(_number: int, queue: Iterator[Extent]) -> None:
            frame = memoryview(bytearray(frame_limit(self._index.chunk_size)))
            buffer = aligned_buffer(max(EXTENT, self._index.chunk_size))
            decompressor = zstandard.ZstdDecompressor()
            for extent in queue:
                for run in self._lacking(extent, buffer, looking) if looking else [extent]:
                    if looking:
                        looking.begin_put(time.monotonic())
                    at = count = 0
                    # Not only between extents: with several workers these are seconds on a slow link.
                    while count < len(run) and not until():
                        self._fetch(run[count], frame, decompressor, buffer[at:])
                        at += run[count].length
                        count += 1
                    if count:
                        self._put(run[:count], buffer, at)
                    if count < len(run):
                        unfinished.append(run[count:])
                    if looking:
                        looking.put(at, time.monotonic())

        left = in_threads(work_on, extents, self._workers, self._work, until)
        return unfinished + left

    def share(
        self,
        runs: Iterable[Extent],
        offer: Document,
        caller: Caller,
        artefact: str,
    ) -> list[Extent]:
        """Write what the disk lacks out of a carousel; return what did not come.

        Args:
            runs: What it lacks, without another look.
            offer: Where the carousel is.
            caller: The rack.
            artefact: Id of the index.
        """
        places = self._places(runs)

        def take(number: int, frame: memoryview) -> bool:
            if not self._taken(places[number], frame):
                return False
            with self._lock:
                self.shared_bytes += len(frame)
            return True

        limit = frame_limit(self._index.chunk_size)
        absent = listen(offer, sorted(places), limit, caller, artefact, take, self._work)
        return [(chunk,) for number in sorted(absent) for chunk in places[number]]

    def with_others(self, runs: Iterable[Extent], peers: Peers) -> list[Extent]:
        """Write what the disk lacks, from other boards and from the rack; return what is not to be had so.

        Args:
            runs: What it lacks, without another look.
            peers: The other boards.
        """
        places = self._places(runs)
        absent = peers.fetch(
            places, self._index.distinct(), lambda number, frame: self._taken(places[number], frame)
        )
        return [(chunk,) for number in sorted(absent) for chunk in places[number]]

    def _places(self, runs: Iterable[Extent]) -> dict[int, list[Chunk]]:
        """Return where each chunk belongs, by its number among the distinct ones of the index."""
        numbers = {digest: number for number, digest in enumerate(self._index.distinct())}
        places: dict[int, list[Chunk]] = {}
        for run in runs:
            for chunk in run:
                places.setdefault(numbers[chunk.digest], []).append(chunk)
        return places

    def _taken(self, chunks: list[Chunk], frame: memoryview) -> bool:
        """Write a frame to all its places; False: it is not what its digest says."""
        own = self._own
        if not hasattr(own, "buffer"):
            own.buffer = aligned_buffer(self._index.chunk_size)
            own.decompressor = zstandard.ZstdDecompressor()
        try:
            unpack(chunks[0], frame, own.decompressor, own.buffer)
        except DamagedError:
            return False
        with self._lock:
            self.fetched_bytes += len(frame)
        for chunk in chunks:
            self._put((chunk,), own.buffer, chunk.length)
        return True

    def all_lacking(self, extents: Iterable[Extent], looking: Looking) -> list[Extent]:
        """Return what the disk does not hold; minutes where much of it is to be read.

        Raises:
            StepError: the step is to end.
        """
        lacking: list[Extent] = []

        def work_on(_number: int, queue: Iterator[Extent]) -> None:
            buffer = aligned_buffer(max(EXTENT, self._index.chunk_size))
            for extent in queue:
                runs = self._lacking(extent, buffer, looking)
                with self._lock:
                    lacking.extend(runs)

        in_threads(work_on, extents, self._workers, self._work)
        return lacking

    def _lacking(self, extent: Extent, buffer: memoryview, looking: Looking) -> list[Extent]:
        """Return the runs of chunks that the disk does not hold; all, unread, when reading would not pay."""
        if not looking.worth() and not (looking.probe() and self._is_there(extent[0], buffer)):
            return [extent]
        looking.begin_look(time.monotonic())
        length = sum(chunk.length for chunk in extent)
        there = self._equal(extent, buffer)
        same = sum(chunk.length for chunk, has in zip(extent, there, strict=True) if has)
        looking.looked(same, length, time.monotonic())
        with self._lock:
            self.kept_bytes += same
        self._work.advance(same)
        return runs_without(extent, there)

    def _is_there(self, chunk: Chunk, buffer: memoryview) -> bool:
        return self._equal((chunk,), buffer)[0]

    def _equal(self, extent: Extent, buffer: memoryview) -> list[bool]:
        """Tell of each chunk of an extent whether the disk holds it."""
        length = sum(chunk.length for chunk in extent)
        try:
            self._media.read(buffer[: up(length, self._media.block)], extent[0].offset)
        except StepError:
            # A sector that lost its content cannot be read until it is written again, which mends it.
            return [False] * len(extent)
        return equal_chunks(extent, buffer)

    def _put(self, run: Extent, buffer: memoryview, length: int) -> None:
        end = up(length, self._media.block)
        buffer[length:end] = bytes(end - length)
        self._media.write(buffer[:end], run[0].offset)
        with self._lock:
            self.written.append(run)
        self._work.advance(length)

    def _fetch(
        self, chunk: Chunk, frame: memoryview, decompressor: zstandard.ZstdDecompressor, into: memoryview
    ) -> None:
        """Put the plain bytes of a chunk, checked, at the beginning of a buffer."""
        problem = ""
        for _ in range(CHUNK_TRIES):
            length = self._source.chunk(chunk.digest, frame)
            with self._lock:
                self.fetched_bytes += length
            try:
                unpack(chunk, frame[:length], decompressor, into)
            except DamagedError as error:
                problem = str(error)
            else:
                return
        raise ImageFaultError(
            f"chunk {chunk.digest} at {chunk.offset} arrived damaged {CHUNK_TRIES} times and was not "
            f"written: {problem}"
        )
