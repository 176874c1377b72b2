"""Installing: an image's chunks from the rack onto a disk, and the proof that they are there.

A few workers each take the next run of adjacent chunks (an *extent*, 4 MiB), fetch its frames over a
connection of their own, decompress them, check each one's SHA-256 and write the run with one aligned
direct write. One worker's network wait is another's decompression and a third's disk write, without
queues; memory is a few MiB for each worker, whatever the size of the image.

What the disk holds already is neither fetched nor written: an extent is read and hashed first, if
that pays (``agent/looking.py``). So a step that begins again, after a power cut, goes on where it was.

Verifying reads back every chunk past the page cache, once, and compares its SHA-256: what was found on
the disk was read so. What differs is written once more; what differs then fails the step.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import zstandard

from hostler.agent.holes import clear_holes, sample_holes
from hostler.agent.looking import Looking, probes
from hostler.agent.media import aligned_buffer, up
from hostler.agent.work import StepError
from hostler.model.chunkindex import Chunk, ChunkIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hostler.agent.media import Media
    from hostler.agent.work import Work
    from hostler.model.json import Document

WORKERS = 4
EXTENT = 4 * 1024 * 1024
CHUNK_TRIES = 3

Extent = tuple[Chunk, ...]


class ChunkSource(Protocol):
    """Where frames come from. Called from several threads."""

    def chunk(self, digest: str, into: memoryview) -> int:
        """Put the zstd frame of a chunk into the buffer; return its length."""
        ...


@dataclass(slots=True)
class Installed:
    """What an installation did; ``to_json`` is the step's result.

    Attributes:
        data_bytes: Bytes of the image that are not holes.
        fetched_bytes: Bytes of the frames that came over the network.
        kept_bytes: Of ``data_bytes``, those that were on the disk already.
    """

    data_bytes: int = 0
    fetched_bytes: int = 0
    kept_bytes: int = 0
    chunks: int = 0
    hole_bytes: int = 0
    holes_zeroed_by: str = "disk"
    holes_read: int = 0
    rewritten_bytes: int = 0
    partitions_reread: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        document: Document = {name: getattr(self, name) for name in self.__slots__}
        document["seconds"] = {name: round(value, 3) for name, value in self.seconds.items()}
        return document


def install(
    index: ChunkIndex,
    media: Media,
    source: ChunkSource,
    work: Work,
    *,
    workers: int = WORKERS,
    verify: bool = True,
    look: bool = True,
) -> Installed:
    """Write an image to a disk and prove it.

    Args:
        index: The image.
        media: The disk, open for writing.
        source: Where its chunks come from.
        work: Takes progress (bytes of the image, holes included) and log.
        workers: How many extents are under way at once.
        verify: Read everything back afterwards; only measurements leave it out.
        look: Read what is on the disk where that pays; likewise.

    Raises:
        StepError: the image does not fit (nothing was written), a chunk is not to be had, the disk fails,
            or what was written does not read back.
    """
    check_fits(index, media)
    extents = list(index.extents(EXTENT))
    result = Installed(
        data_bytes=index.data_bytes, chunks=len(index), hole_bytes=index.size - index.data_bytes
    )
    started = time.monotonic()
    work.begin("executing", index.size)
    result.holes_zeroed_by = clear_holes(index, media, work)
    result.seconds["holes"] = time.monotonic() - started
    looking = _first_look(index, media, work) if look else None
    written = _write(extents, index, media, source, work, workers, result, looking)
    media.sync()
    result.seconds["write"] = time.monotonic() - started
    if verify:
        _prove(written if media.direct else extents, index, media, source, work, workers, result)
        result.seconds["verify"] = time.monotonic() - started - result.seconds["write"]
    result.partitions_reread = media.reread_partitions()
    return result


def check_fits(index: ChunkIndex, media: Media) -> None:
    """Raise StepError, with both sizes, unless the image fits the disk."""
    if index.size > media.size:
        raise StepError(f"the image needs {index.size} bytes, but {media.path} has only {media.size}")


def _first_look(index: ChunkIndex, media: Media, work: Work) -> Looking:
    """Read a few chunks all over the disk."""
    chosen = probes(list(index))
    buffer = aligned_buffer(index.chunk_size)
    equal = 0
    for chunk in chosen:
        equal += _is_there(chunk, media, buffer)
        work.check()
    looking = Looking()
    looking.began(equal, len(chosen))
    return looking


def _write(
    extents: Iterable[Extent],
    index: ChunkIndex,
    media: Media,
    source: ChunkSource,
    work: Work,
    workers: int,
    result: Installed,
    looking: Looking | None,
) -> list[Extent]:
    """Fetch and write what the disk does not hold; return the runs of chunks that were written."""
    frame_limit = index.chunk_size + index.chunk_size // 128 + 1024  # more than ZSTD_compressBound ever gives
    fetched, kept = [0] * workers, [0] * workers
    written: list[Extent] = []

    def work_on(number: int, queue: Iterator[Extent]) -> None:
        frame = memoryview(bytearray(frame_limit))
        buffer = aligned_buffer(max(EXTENT, index.chunk_size))
        decompressor = zstandard.ZstdDecompressor()
        for extent in queue:
            lacking = _lacking(extent, media, buffer, looking) if looking else [extent]
            length = sum(chunk.length for chunk in extent)
            for run in lacking:
                if looking:
                    looking.begin_put(time.monotonic())
                at = 0
                for chunk in run:
                    plain, size = _fetch(chunk, source, frame, decompressor)
                    fetched[number] += size
                    buffer[at : at + chunk.length] = plain
                    at += chunk.length
                end = up(at, media.block)
                buffer[at:end] = bytes(end - at)
                media.write(buffer[:end], run[0].offset)
                if looking:
                    looking.put(at, time.monotonic())
                written.append(run)
                length -= at
                work.advance(at)
            kept[number] += length
            work.advance(length)

    _in_threads(work_on, extents, workers, work)
    result.fetched_bytes += sum(fetched)
    result.kept_bytes += sum(kept)
    return sorted(written)


def _lacking(extent: Extent, media: Media, buffer: memoryview, looking: Looking) -> list[Extent]:
    """Return the runs of chunks that the disk does not hold; all, unread, when reading would not pay."""
    if not looking.worth() and not (looking.probe() and _is_there(extent[0], media, buffer)):
        return [extent]
    looking.begin_look(time.monotonic())
    length = sum(chunk.length for chunk in extent)
    media.read(buffer[: up(length, media.block)], extent[0].offset)
    equal = _equal(extent, buffer)
    same = sum(chunk.length for chunk, there in zip(extent, equal, strict=True) if there)
    looking.looked(same, length, time.monotonic())
    runs: list[list[Chunk]] = []
    before = True
    for chunk, there in zip(extent, equal, strict=True):
        if not there:
            if before:
                runs.append([])
            runs[-1].append(chunk)
        before = there
    return [tuple(run) for run in runs]


def _is_there(chunk: Chunk, media: Media, buffer: memoryview) -> bool:
    media.read(buffer[: up(chunk.length, media.block)], chunk.offset)
    return _equal((chunk,), buffer)[0]


def _equal(extent: Extent, buffer: memoryview) -> list[bool]:
    """Tell of each chunk of an extent whether it is what lies in the buffer."""
    equal, at = [], 0
    for chunk in extent:
        equal.append(hashlib.sha256(buffer[at : at + chunk.length]).hexdigest() == chunk.digest)
        at += chunk.length
    return equal


def _fetch(
    chunk: Chunk, source: ChunkSource, frame: memoryview, decompressor: zstandard.ZstdDecompressor
) -> tuple[bytes, int]:
    """Return the plain bytes of a chunk, checked, and the length of its frame."""
    problem = ""
    for _ in range(CHUNK_TRIES):
        length = source.chunk(chunk.digest, frame)
        try:
            # The library allocates what the header promises, so it is looked at first.
            if zstandard.frame_content_size(frame[:length]) != chunk.length:
                problem = "its frame is of another length"
                continue
            plain = decompressor.decompress(frame[:length])
        except zstandard.ZstdError as error:
            problem = str(error)
            continue
        if hashlib.sha256(plain).hexdigest() == chunk.digest:
            return plain, length
        problem = "its SHA-256 is another"
    raise StepError(
        f"chunk {chunk.digest} at {chunk.offset} arrived damaged {CHUNK_TRIES} times and was not written: "
        f"{problem}"
    )


def _prove(
    extents: list[Extent],
    index: ChunkIndex,
    media: Media,
    source: ChunkSource,
    work: Work,
    workers: int,
    result: Installed,
) -> None:
    """Read back what was written; write once more what differs."""
    work.begin("verifying", sum(chunk.length for extent in extents for chunk in extent))
    bad = _differing(extents, index, media, work, workers)
    if bad:
        where = ", ".join(str(extent[0].offset) for extent in bad[:8])
        work.say(f"install: {len(bad)} extents read back differently, at {where}; writing them once more")
        result.rewritten_bytes = sum(chunk.length for extent in bad for chunk in extent)
        _write(bad, index, media, source, work, workers, result, None)
        media.sync()
        if still := _differing(bad, index, media, work, workers):
            raise StepError(
                f"{media.path} does not keep what is written: {len(still)} extents differ after a second "
                f"attempt, the first at {still[0][0].offset}"
            )
    if result.holes_zeroed_by == "disk":
        result.holes_read = sample_holes(index, media, work)


def _differing(
    extents: Iterable[Extent], index: ChunkIndex, media: Media, work: Work, workers: int
) -> list[Extent]:
    """Return the extents of which at least one chunk does not read back."""
    bad: list[Extent] = []

    def work_on(_number: int, queue: Iterator[Extent]) -> None:
        buffer = aligned_buffer(max(EXTENT, index.chunk_size))
        for extent in queue:
            length = sum(chunk.length for chunk in extent)
            media.read(buffer[: up(length, media.block)], extent[0].offset)
            if not all(_equal(extent, buffer)):
                bad.append(extent)
            work.advance(length)

    _in_threads(work_on, extents, workers, work)
    return sorted(bad)


def _in_threads(
    work_on: Callable[[int, Iterator[Extent]], None], extents: Iterable[Extent], workers: int, work: Work
) -> None:
    """Run workers that share one queue of extents; the first failure ends them all and is raised."""
    queue = iter(extents)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def take() -> Iterator[Extent]:
        while True:
            with lock:
                if failures:
                    return
                extent = next(queue, None)
            if extent is None:
                return
            yield extent

    def run(number: int) -> None:
        try:
            work_on(number, take())
        except BaseException as error:  # noqa: BLE001  (raised again by the thread that waits)
            failures.append(error)

    threads = [threading.Thread(target=run, args=[n], name=f"install-{n}") for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    work.check()
