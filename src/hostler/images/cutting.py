"""Between a disk in a file and chunks: laying an image out, and cutting a file on the grid."""

from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import zstandard

from hostler.model.chunkindex import ChunkIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostler.images.ingest import Ingest
    from hostler.model.chunkindex import Chunk

_LEVEL = 3  # as imports have it
_THREADS = 4


def lay_out(
    index: ChunkIndex, plain: Callable[[Chunk], bytes], path: Path, seen: Callable[[int], None]
) -> None:
    """Write an image into a new sparse file.

    Args:
        index: The image.
        plain: Gives the bytes of a chunk.
        path: The file.
        seen: Told the bytes written so far; what it raises ends the work.
    """
    done = 0
    with path.open("xb") as file:
        file.truncate(index.size)
        for chunk in index:
            os.pwrite(file.fileno(), plain(chunk), chunk.offset)
            done += chunk.length
            seen(done)


def cut(path: Path, ingest: Ingest, chunk_size: int, seen: Callable[[int], None]) -> tuple[ChunkIndex, int]:
    """Cut a file on the grid and bring what the store lacks; returns the index and how many chunks were new.

    Args:
        path: The file; its holes are not read.
        ingest: Takes the chunks.
        chunk_size: Width of the grid.
        seen: Told the bytes read so far; what it raises ends the work.
    """
    zeros = bytes(chunk_size)
    found: list[tuple[int, bytes]] = []
    new = done = 0
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(_THREADS) as pool:
        size = os.fstat(file.fileno()).st_size

        def one(number: int) -> tuple[int, bytes | None, bool, int]:
            plain = os.pread(file.fileno(), chunk_size, number * chunk_size)
            if plain == zeros[: len(plain)]:
                return number, None, False, len(plain)
            digest = hashlib.sha256(plain)
            known = ingest.knows(digest.hexdigest())
            if not known:
                frame = zstandard.ZstdCompressor(level=_LEVEL).compress(plain)
                ingest.add_chunk(digest.hexdigest(), frame)
            return number, digest.digest(), not known, len(plain)

        cells = list(_cells(file.fileno(), size, chunk_size))
        for at in range(0, len(cells), 4 * _THREADS):  # bounded, or all of it would wait in memory
            for number, digest, is_new, length in pool.map(one, cells[at : at + 4 * _THREADS]):
                done += length
                new += is_new
                if digest is not None:
                    found.append((number, digest))
            seen(done)
    return ChunkIndex.build(size, chunk_size, found), new


def _cells(file: int, size: int, width: int) -> Iterator[int]:
    """Yield the numbers of the cells in which a file is no hole."""
    at, last = 0, -1
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            raise
        at = os.lseek(file, start, os.SEEK_HOLE)
        for number in range(max(last + 1, start // width), -(-at // width)):
            yield number
            last = number
