"""The cache of another server's chunks: bounded, cleared by last use, whole after every crash.

Layout::

    chunks/ab/<sha256 of the plain bytes>    one zstd frame; its time of change is that of its last use
    indexes/<sha256 of the file>             a chunk index
    tmp/                                     what is being written

A name is given only to what was checked and is on the disk, so that nothing has to be looked through after a
crash. One process writes and clears; any may read and say so with ``touch``. Clearing takes no notice of who
reads: an open file stays readable, and what is asked for once more is fetched once more.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from hostler.images.chunk_frame import DamagedChunkError, plain_chunk
from hostler.images.store import checked_digest
from hostler.images.store_errors import StoreError, StoreFullError, UnknownArtefactError
from hostler.model.cache_eviction import CachedPiece, to_evict
from hostler.model.chunkindex import ChunkIndex, ChunkIndexError
from hostler.model.store_room import kept_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class CachePaths:
    """Where things are in a cache; for who only reads.

    Args:
        root: The cache's directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def chunk(self, digest: str) -> Path:
        """Return where a chunk is or would be; raises StoreError for a malformed digest."""
        return self.root / "chunks" / checked_digest(digest)[:2] / digest

    def index(self, artefact: str) -> Path:
        """Return where an index is or would be; raises StoreError for a malformed id."""
        return self.root / "indexes" / checked_digest(artefact)


def touch(path: Path) -> None:
    """Note that a chunk was used now; nothing happens if it has just gone."""
    with suppress(OSError):
        os.utime(path)


class ChunkCache(CachePaths):
    """The writing side. Safe to use from many threads of one process.

    Args:
        root: The directory; made if it does not exist.
        limit: Bytes of chunks it may hold.

    Attributes:
        limit: May be changed; the next chunk that comes makes it hold.
    """

    def __init__(self, root: Path, limit: int) -> None:
        super().__init__(root)
        self.limit = limit
        self._tmp = root / "tmp"
        self._lock = threading.Lock()
        self._room_lock = threading.Lock()
        shutil.rmtree(self._tmp, ignore_errors=True)  # what a crash cut off
        for name in ("chunks", "indexes", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self._held = sum(piece.size for piece in self.pieces())

    @property
    def held(self) -> int:
        """Bytes of all chunks."""
        return self._held

    def pieces(self) -> Iterator[CachedPiece]:
        """Yield every chunk that is there."""
        for folder in sorted((self.root / "chunks").iterdir()):
            for entry in os.scandir(folder):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    yield CachedPiece(status.st_mtime, entry.name, status.st_size)

    def keep(self, digest: str, frame: bytes) -> Path:
        """Keep the frame of a chunk, once it is seen to be what its name says; returns where it is.

        Raises:
            DamagedChunkError: it is not; nothing was written.
            StoreFullError: no room on the disk, besides what is kept free for others, though old chunks were
                cleared away.
            OSError: the disk refuses.
        """
        plain_chunk(digest, frame)
        path = self.chunk(digest)
        self._make_room(len(frame))
        try:
            self._put(path, frame)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.clear(self._held // 2)  # the disk is smaller than the limit says
            try:
                self._put(path, frame)
            except OSError as again:
                if again.errno not in _NO_ROOM:
                    raise
                raise self._full() from again
        with self._lock:
            self._held += len(frame)
            over = self._held > self.limit
        if over:
            self.clear(self.limit)
        return path

    def keep_index(self, artefact: str, data: bytes) -> Path:
        """Keep a chunk index, once it is seen to be what its id says; returns where it is.

        Raises:
            StoreError: it is not; nothing was written.
        """
        if hashlib.sha256(data).hexdigest() != artefact:
            raise StoreError(f"the index {artefact} came with other bytes than its id says")
        try:
            ChunkIndex.decode(data)
        except ChunkIndexError as error:
            raise StoreError(f"the index {artefact}: {error}") from error
        path = self.index(artefact)
        self._put(path, data)
        return path

    def read_index(self, artefact: str) -> ChunkIndex:
        """Read an index; raises UnknownArtefactError when it is not here, or no longer what its id says."""
        try:
            data = self.index(artefact).read_bytes()
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() != artefact:
            self.drop_index(artefact)
            raise UnknownArtefactError(f"the cache has no index {artefact}")
        return ChunkIndex.decode(data)

    def indexes(self) -> list[str]:
        """Return the ids of all indexes that are there."""
        return [entry.name for entry in (self.root / "indexes").iterdir()]

    def drop_index(self, artefact: str) -> None:
        """Remove an index; its chunks go when they are the longest unused."""
        self.index(artefact).unlink(missing_ok=True)

    def clear(self, limit: int) -> None:
        """Remove what was used longest ago until so many bytes are held at most."""
        with self._lock:
            there = list(self.pieces())
            held = sum(piece.size for piece in there)
            for piece in to_evict(there, limit):
                self.chunk(piece.name).unlink(missing_ok=True)
                held -= piece.size
            self._held = held

    def _make_room(self, size: int) -> None:
        """Have so many bytes beside what stays free; raises StoreFullError."""
        if not self._lacking(size):
            return
        with self._room_lock:  # one clearing, however many chunks come at once
            if lacking := self._lacking(size):
                self.clear(max(0, self._held - lacking))
                if self._lacking(size):
                    raise self._full()

    def _lacking(self, size: int) -> int:
        disk = shutil.disk_usage(self.root)
        return max(0, kept_free(disk.total) + size - disk.free)

    def _full(self) -> StoreFullError:
        disk = shutil.disk_usage(self.root)
        return StoreFullError(
            f"no space left for the cache of images {self.root} ({disk.free} bytes free, and "
            f"{kept_free(disk.total)} are left to others): give it another file system, or free some"
        )

    def verify(self, seen: Callable[[int], None] = lambda _: None) -> tuple[int, list[str]]:
        """Decompress and hash every chunk; those that are not what their names say are removed.

        Args:
            seen: Called after each with its bytes; what it raises ends the work.

        Returns:
            How many are whole, and the names of those removed: they will be fetched anew.
        """
        whole, damaged = 0, []
        for piece in list(self.pieces()):
            path = self.chunk(piece.name)
            try:
                plain_chunk(piece.name, path.read_bytes())
            except FileNotFoundError:
                continue
            except (DamagedChunkError, OSError):
                path.unlink(missing_ok=True)
                damaged.append(piece.name)
                with self._lock:
                    self._held -= piece.size
            else:
                whole += 1
            seen(piece.size)
        return whole, damaged

    def _put(self, path: Path, data: bytes) -> None:
        partial = self._tmp / secrets.token_hex(8)
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                # Or a power cut would leave a name over bytes that never came to the disk.
                os.fdatasync(file.fileno())
            path.parent.mkdir(exist_ok=True)
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
