"""Runs of adjacent chunks, and threads that share a queue of them."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import zstandard

from hostler.model.chunkindex import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hostler.agent.work import Work

EXTENT = 4 * 1024 * 1024
"""Longest run in bytes: one aligned write."""

Extent = tuple[Chunk, ...]


class DamagedError(Exception):
    """A frame is not that of the chunk; the text says how."""


def frame_limit(chunk_size: int) -> int:
    """Return more bytes than any frame of a chunk has (more than ``ZSTD_compressBound`` ever gives)."""
    return chunk_size + chunk_size // 128 + 1024


def unpack(
    chunk: Chunk, frame: memoryview, decompressor: zstandard.ZstdDecompressor, into: memoryview
) -> None:
    """Put the plain bytes of a chunk at the beginning of a buffer.

    Without a copy in between: new memory for each chunk costs more than to decompress it.

    Raises:
        DamagedError: They are not those of the chunk; the buffer holds whatever came.
    """
    plain = into[: chunk.length]
    try:
        if zstandard.frame_content_size(frame) != chunk.length:
            raise DamagedError("its frame is of another length")
        with decompressor.stream_reader(frame) as reader:
            count = reader.readinto(plain)
    except zstandard.ZstdError as error:
        raise DamagedError(str(error)) from None
    if count != chunk.length:
        raise DamagedError("its frame ends early")
    if hashlib.sha256(plain).hexdigest() != chunk.digest:
        raise DamagedError("its SHA-256 is another")


def equal_chunks(extent: Extent, buffer: memoryview) -> list[bool]:
    """Tell of each chunk of an extent whether it is what lies in the buffer."""
    equal, at = [], 0
    for chunk in extent:
        equal.append(hashlib.sha256(buffer[at : at + chunk.length]).hexdigest() == chunk.digest)
        at += chunk.length
    return equal


def runs_without(extent: Extent, there: list[bool]) -> list[Extent]:
    """Return the runs of those chunks of an extent that are not there."""
    runs: list[list[Chunk]] = []
    before = True
    for chunk, has in zip(extent, there, strict=True):
        if not has:
            if before:
                runs.append([])
            runs[-1].append(chunk)
        before = has
    return [tuple(run) for run in runs]


def in_threads(
    work_on: Callable[[int, Iterator[Extent]], None],
    extents: Iterable[Extent],
    workers: int,
    work: Work,
    until: Callable[[], bool] = lambda: False,
) -> list[Extent]:
    """Run workers that share one queue of extents; return those that were left when ``until`` became true.

    The first failure ends all workers and is raised.
    """
    queue = iter(extents)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def take() -> Iterator[Extent]:
        while True:
            with lock:
                if failures or until():
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
    return list(queue)
