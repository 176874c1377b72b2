"""Taking an image into the store: read, decompress, cut, hash, compress, and only then make it visible."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import zstandard

from hostler.images import bmap
from hostler.images.bootable_source import disk_of
from hostler.images.source import Source, SourceError, open_source
from hostler.images.unpack import MAX_IMAGE
from hostler.model.chunkindex import ChunkIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from hostler.images.ingest import Ingest
    from hostler.images.store import ImageStore
    from hostler.model.bootable import DiskTerms

CHUNK_SIZE = 1024 * 1024
"""The grid of new images, chosen by benchmarks/chunk_size.py.

Storing and writing cost about the same CPU time from 512 KiB to 4 MiB. What a new version adds to the store,
and what a coarse grid drags along beside the real data, grows with each step up (of 300 MiB of data: 348 MiB
written with 512 KiB, 392 with 1 MiB, 484 with 2, 616 with 4; new in a second version 7, 13, 24, 40). Below
1 MiB the requests double with each step down, and a chunk that lies alone is a write too small for flash.
"""
SECTOR = 512

_LEVEL = 3
_PROGRESS_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import has come.

    Attributes:
        read: Bytes of the input read, as stored (compressed).
        total: Length of the input, or None if unknown.
        written: Plain bytes of the image that came out of it.
    """

    read: int
    total: int | None
    written: int


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import brought.

    Attributes:
        index: Artefact id of the chunk index.
        size: Bytes of the image, padding included.
        chunk_size: Grid of the index.
        data_bytes: Plain bytes in chunks; the rest is holes.
        chunks_new: Chunks stored by this import.
        chunks_known: Places in the image whose chunk was there already, or came twice.
        stored_bytes: Bytes of the new chunks as stored.
        source_sha256: Hash of the input as it was read, hexadecimal.
        padding: Zero bytes added to fill the last sector of 512 bytes.
        compression: What the input was: ``raw``, or its forms from outside in: ``gzip``, ``zip+xz``.
    """

    index: str
    size: int
    chunk_size: int
    data_bytes: int
    chunks_new: int
    chunks_known: int
    stored_bytes: int
    source_sha256: str
    padding: int
    compression: str


def import_image(
    source: Path | str,
    store: ImageStore,
    progress: Callable[[ImportProgress], None] | None = None,
    *,
    barred: Collection[str] | None = None,
    block_map: bytes | None = None,
    most_data: int | None = None,
    disk: DiskTerms | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> ImportResult:
    """Read an image and keep it in the store. Blocks; run it in a thread.

    An image whose size is not a multiple of 512 is filled up with zeros: a disk has no smaller unit.

    Args:
        source: A local path or an ``http(s)`` URL of an image, in any form that `hostler.images.unpack` and
            `hostler.images.disk_format` know.
        store: Where to keep it.
        progress: Called from this thread at most ten times a second and once at the end. What it raises ends
            the import, so that it serves to cancel too.
        barred: Hosts that a URL must not lead to, besides this one; None: it may lead anywhere.
        block_map: A ``.bmap`` of the plain image: its checksums are checked; what it does not map is holes.
        most_data: How many bytes that are not holes it may have; None: any number.
        disk: How a tar of a root file system becomes a disk; None: a tar is refused.
        chunk_size: Width of the grid.

    Raises:
        SourceError: the input cannot be read, ends too early, is damaged, empty, too large or not what its
            block map says.
        StoreFullError: no space left in the store.

    Whatever is raised, nothing of the image is left in the store.
    """
    mapped = None if block_map is None else bmap.read(block_map)
    with open_source(source, barred) as opened, store.ingest() as ingest:
        work = _Import(opened, ingest, chunk_size, progress or (lambda _: None), mapped, most_data, disk)
        index = ChunkIndex.build(work.run(), chunk_size, work.chunks)
        fingerprint = opened.sha256(work.tell)
        return ImportResult(
            index=ingest.commit(index),
            size=index.size,
            chunk_size=chunk_size,
            data_bytes=index.data_bytes,
            chunks_new=work.new,
            chunks_known=len(index) - work.new,
            stored_bytes=work.stored_bytes,
            source_sha256=fingerprint,
            padding=work.padding,
            compression=opened.compression,
        )


class _Import:
    """One import under way: the calling thread reads and decompresses, a few others hash, compress and write.

    zlib, lzma, zstandard and hashlib all release the GIL. In flight are at most twice as many chunks as
    threads, which bounds the memory.
    """

    def __init__(
        self,
        source: Source,
        ingest: Ingest,
        chunk_size: int,
        progress: Callable[[ImportProgress], None],
        mapped: bmap.Bmap | None,
        most_data: int | None,
        disk: DiskTerms | None,
    ) -> None:
        self.chunks: list[tuple[int, bytes]] = []
        self.new = 0
        self.stored_bytes = 0
        self.padding = 0
        self._source = source
        self._ingest = ingest
        self._chunk_size = chunk_size
        self._progress = progress
        self._mapped = mapped
        self._most_data = most_data
        self._disk = disk
        self._data = 0
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()
        self._local = threading.local()
        self._zeros = bytes(chunk_size)
        self._size = 0
        self._told = 0.0

    def run(self) -> int:
        """Read everything; return the size of the image in bytes."""
        threads = os.cpu_count() or 1
        flying: deque[Future[None]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="import") as pool:
            try:
                for number, piece in enumerate(self._pieces()):
                    self._size += len(piece)
                    if piece != self._zeros[: len(piece)]:
                        self._count(len(piece))
                        flying.append(pool.submit(self._keep, number, piece))
                    while len(flying) >= 2 * threads or (flying and flying[0].done()):
                        flying.popleft().result()
                    self.tell()
                while flying:
                    flying.popleft().result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if not self._size:
            raise SourceError(f"{self._source.name}: is empty")
        self._progress(ImportProgress(self._source.taken, self._source.total, self._size))
        return self._size

    def _count(self, length: int) -> None:
        self._data += length
        if self._most_data is not None and self._data > self._most_data:
            raise SourceError(
                f"{self._source.name}: has more than the {self._most_data} bytes of data that are left for "
                "whoever imports it; remove images, or have the limit raised"
            )

    def tell(self) -> None:
        """Tell how far it is, if it is time."""
        if time.monotonic() - self._told >= _PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._progress(ImportProgress(self._source.taken, self._source.total, self._size))

    def _pieces(self) -> Iterator[bytes]:
        """Cut the stream on the grid, and fill the last sector."""
        held: list[bytes] = []
        length = 0
        total = 0
        blocks = self._source.blocks(self._ingest.scratch, self.tell, self._unpacked)
        plain = not self._asks_for_disk()
        for block in blocks if self._mapped is None else bmap.applied(blocks, self._mapped):
            total += len(block)
            if not plain and not self._source.compression.endswith("tar"):
                raise SourceError(
                    f"{self._source.name}: is no tar of a root file system; its size, its kernel and "
                    "its command line are its own"
                )
            if total > MAX_IMAGE:
                raise SourceError(f"{self._source.name}: unpacks to more than {MAX_IMAGE} bytes")
            at = 0
            while at < len(block):
                part = block[at : at + self._chunk_size - length]
                at += len(part)
                length += len(part)
                held.append(part)
                if length == self._chunk_size:
                    yield b"".join(held)
                    held, length = [], 0
        if held:
            self.padding = -length % SECTOR
            yield b"".join([*held, bytes(self.padding)])

    def _asks_for_disk(self) -> bool:
        disk = self._disk
        return disk is not None and (disk.size is not None or bool(disk.append) or disk.kernel is not None)

    def _unpacked(self, archive: Iterator[bytes]) -> Iterator[bytes]:
        if self._disk is None:
            raise SourceError(f"{self._source.name}: is a tar, and no image of a disk")
        return disk_of(archive, self._disk, self._ingest.scratch, self.tell)

    def _keep(self, number: int, piece: bytes) -> None:
        digest = hashlib.sha256(piece).digest()
        with self._lock:
            self.chunks.append((number, digest))
            if digest in self._seen:
                return
            self._seen.add(digest)
        name = digest.hex()
        if self._ingest.knows(name):
            return
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            # With the length in the header and a checksum off: SHA-256 already says whether it is right.
            compressor = self._local.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        frame = compressor.compress(piece)
        self._ingest.add_chunk(name, frame)
        with self._lock:
            self.new += 1
            self.stored_bytes += len(frame)
