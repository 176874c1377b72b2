"""Installing: an image's chunks from the rack onto a disk, and the proof that they are there.

A few workers each take the next run of adjacent chunks (an *extent*, 4 MiB), fetch its frames over a
connection of their own, decompress them, check each one's SHA-256 and write the run with one aligned
direct write. One worker's network wait is another's decompression and a third's disk write, without
queues; memory is a few MiB for each worker, whatever the size of the image.

Holes must read as zeros, and an unwiped disk may hold anything there. If the disk can zero by itself (see
``Media.zero``) the holes are zeroed that way, which costs next to nothing, and both ends and samples of
every hole are read back. If it cannot, the holes are discarded, all of them are read, and what is not
zero is overwritten: reading is several times faster than writing on the media concerned (SD cards, USB
sticks, plain hard disks). The last MiB of a disk that is larger than the image is zeroed too, so that no
old backup partition table or RAID label is found there.

Verifying reads back every chunk past the page cache and compares its SHA-256. What differs is written
once more; what differs then fails the step.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import zstandard

from hostler.agent.media import aligned_buffer, pieces
from hostler.agent.wipe import is_zero
from hostler.agent.work import StepError
from hostler.model.chunkindex import Chunk, ChunkIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hostler.agent.media import Media
    from hostler.agent.work import Work
    from hostler.model.json import Document

WORKERS = 4
EXTENT = 4 * 1024 * 1024
TAIL = 1024 * 1024
HOLE_SAMPLE = 64 * 1024
HOLE_STRIDE = 64 * 1024 * 1024
CHUNK_TRIES = 3

Extent = tuple[Chunk, ...]


class ChunkSource(Protocol):
    """Where frames come from. Called from several threads."""

    def chunk(self, digest: str, into: memoryview) -> int:
        """Put the zstd frame of a chunk into the buffer; return its length."""
        ...


@dataclass(slots=True)
class Installed:
    """What an installation did; ``to_json`` is the step's result."""

    data_bytes: int = 0
    fetched_bytes: int = 0
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
) -> Installed:
    """Write an image to a disk and prove it.

    Args:
        index: The image.
        media: The disk, open for writing.
        source: Where its chunks come from.
        work: Takes progress (bytes of the image, holes included) and log.
        workers: How many extents are under way at once.
        verify: Read everything back afterwards; only measurements leave it out.

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
    _clear(index, media, work, result)
    result.seconds["holes"] = time.monotonic() - started
    result.fetched_bytes = _write(extents, index, media, source, work, workers)
    media.sync()
    result.seconds["write"] = time.monotonic() - started
    if verify:
        _prove(extents, index, media, source, work, workers, result)
        result.seconds["verify"] = time.monotonic() - started - result.seconds["write"]
    result.partitions_reread = media.reread_partitions()
    return result


def check_fits(index: ChunkIndex, media: Media) -> None:
    """Raise StepError, with both sizes, unless the image fits the disk."""
    if index.size > media.size:
        raise StepError(f"the image needs {index.size} bytes, but {media.path} has only {media.size}")


def _clear(index: ChunkIndex, media: Media, work: Work, result: Installed) -> None:
    """Make the holes and the end of the disk read as zeros."""
    holes = [(offset, _up(offset + length, media.block) - offset) for offset, length in index.holes()]
    tail = max(_up(index.size, media.block), media.size - TAIL)
    ends = [(tail, media.size - tail)] if tail < media.size else []
    for hole in holes + ends:
        for offset, length in pieces(*hole):
            if not media.zero(offset, length):
                result.holes_zeroed_by = "reading and overwriting"
                break
            if offset < index.size:
                work.advance(min(length, index.size - offset))
        else:
            continue
        break
    else:
        return
    work.say(
        f"install: {media.path} cannot zero by itself; holes are read, and written where they are not zero"
    )
    work.begin("executing", index.size)
    for hole in holes + ends:
        for part in pieces(*hole):
            media.discard(*part)
    buffer, zeros = aligned_buffer(EXTENT), aligned_buffer(EXTENT)
    for hole in holes + ends:
        for offset, length in pieces(*hole, EXTENT):
            media.read(buffer[:length], offset)
            if not is_zero(buffer[:length]):
                media.write(zeros[:length], offset)
            if offset < index.size:
                work.advance(min(length, index.size - offset))


def _write(
    extents: Iterable[Extent], index: ChunkIndex, media: Media, source: ChunkSource, work: Work, workers: int
) -> int:
    """Fetch and write extents; return the bytes of the frames."""
    frame_limit = index.chunk_size + index.chunk_size // 128 + 1024  # more than ZSTD_compressBound ever gives
    fetched = [0] * workers

    def work_on(number: int, queue: Iterator[Extent]) -> None:
        frame = memoryview(bytearray(frame_limit))
        buffer = aligned_buffer(max(EXTENT, index.chunk_size))
        decompressor = zstandard.ZstdDecompressor()
        for extent in queue:
            at = 0
            for chunk in extent:
                plain, length = _fetch(chunk, source, frame, decompressor)
                fetched[number] += length
                buffer[at : at + chunk.length] = plain
                at += chunk.length
            end = _up(at, media.block)
            buffer[at:end] = bytes(end - at)
            media.write(buffer[:end], extent[0].offset)
            work.advance(at)

    _in_threads(work_on, extents, workers, work)
    return sum(fetched)


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
    """Read everything back; write once more what differs."""
    work.begin("verifying", index.data_bytes)
    bad = _differing(extents, index, media, work, workers)
    if bad:
        where = ", ".join(str(extent[0].offset) for extent in bad[:8])
        work.say(f"install: {len(bad)} extents read back differently, at {where}; writing them once more")
        result.rewritten_bytes = sum(chunk.length for extent in bad for chunk in extent)
        result.fetched_bytes += _write(bad, index, media, source, work, workers)
        media.sync()
        if still := _differing(bad, index, media, work, workers):
            raise StepError(
                f"{media.path} does not keep what is written: {len(still)} extents differ after a second "
                f"attempt, the first at {still[0][0].offset}"
            )
    if result.holes_zeroed_by == "disk":
        result.holes_read = _sample_holes(index, media, work)


def _differing(
    extents: Iterable[Extent], index: ChunkIndex, media: Media, work: Work, workers: int
) -> list[Extent]:
    """Return the extents of which at least one chunk does not read back."""
    bad: list[Extent] = []

    def work_on(_number: int, queue: Iterator[Extent]) -> None:
        buffer = aligned_buffer(max(EXTENT, index.chunk_size))
        for extent in queue:
            length = sum(chunk.length for chunk in extent)
            media.read(buffer[: _up(length, media.block)], extent[0].offset)
            at = 0
            for chunk in extent:
                if hashlib.sha256(buffer[at : at + chunk.length]).hexdigest() != chunk.digest:
                    bad.append(extent)
                    break
                at += chunk.length
            work.advance(length)

    _in_threads(work_on, extents, workers, work)
    return sorted(bad)


def _sample_holes(index: ChunkIndex, media: Media, work: Work) -> int:
    """Read both ends of every hole and a piece every 64 MiB; return how many bytes were zero."""
    buffer = aligned_buffer(HOLE_SAMPLE)
    read = 0
    for offset, length in index.holes():
        places = {offset, *range(offset, offset + length, HOLE_STRIDE)}
        places.add(max(offset, (offset + length - HOLE_SAMPLE) // media.block * media.block))
        for place in sorted(places):
            count = min(HOLE_SAMPLE, offset + length - place)
            part = buffer[: _up(count, media.block)]
            media.read(part, place)
            if not is_zero(part):
                raise StepError(
                    f"{media.path}: the disk was told to zero {length} bytes at {offset}, "
                    f"but they are not zero at {place}"
                )
            read += count
        work.check()
    return read


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


def _up(length: int, block: int) -> int:
    """Round up to whole blocks of the disk."""
    return -(-length // block) * block
