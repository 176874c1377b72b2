"""The store of images: chunks as zstd frames, everything else whole, each named by its SHA-256.

Layout of a store::

    chunks/ab/<sha256 of the plain bytes>    one zstd frame
    artefacts/<sha256 of the file>           a chunk index, a kernel, an initramfs
    tmp/<random>/                            what an unfinished import or copy has written so far
    lock                                     shared by imports, exclusive for removal

What has a name is complete, and durable once it matters: an import writes its new chunks below ``tmp/``, and
only when the last one is there are they flushed (one ``syncfs`` for all of them: a flush for each would cost
more than the import itself) and renamed to their places; the index, last of all, is flushed and renamed.
A crash at any moment therefore leaves no index without its chunks and no name without its bytes; it may
leave files in ``tmp/`` and chunks no index speaks of, which ``sweep`` removes.

An import relies on chunks that other images brought. So that none is removed under it, it holds the lock
shared until its index is in place, and removal waits for the lock alone.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.model.chunkindex import MAGIC, ChunkIndex, ChunkIndexError, is_chunk_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LOCK_SECONDS = 10.0
_COPY = 1024 * 1024
_DIGITS = frozenset("0123456789abcdef")


class StoreError(Exception):
    """Something is wrong with the store or with what was asked of it; the message says what."""


class UnknownArtefactError(StoreError):
    """The store holds nothing under this id."""


class StoreFullError(StoreError):
    """There is no space left for what was to be stored; nothing of it was kept."""


class StoreBusyError(StoreError):
    """Imports are going on and removal could not have the store to itself in time; try again later."""


class ImageStore:
    """A directory of chunks and artefacts. Safe to use from many threads and processes at once.

    Args:
        root: The directory; made if it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._chunks = root / "chunks"
        self._artefacts = root / "artefacts"
        self._tmp = root / "tmp"
        for directory in (self._chunks, self._artefacts, self._tmp):
            directory.mkdir(parents=True, exist_ok=True)

    def chunk_path(self, digest: str) -> Path:
        """Return where the zstd frame of a chunk is or would be; raises StoreError for a malformed digest."""
        return self._chunks / _checked(digest)[:2] / digest

    def artefact_path(self, artefact: str) -> Path:
        """Return where an artefact is or would be; raises StoreError for a malformed id."""
        return self._artefacts / _checked(artefact)

    def artefacts(self) -> list[str]:
        """Return the ids of all artefacts, sorted."""
        return sorted(entry.name for entry in self._artefacts.iterdir())

    def indexes(self) -> list[str]:
        """Return the ids of the artefacts that are chunk indexes, sorted."""
        return [artefact for artefact in self.artefacts() if self._is_index(artefact)]

    def has_index(self, artefact: str) -> bool:
        """Tell whether there is a chunk index of this id."""
        return self.artefact_path(artefact).is_file() and self._is_index(artefact)

    def index(self, artefact: str) -> ChunkIndex:
        """Read a chunk index.

        Raises:
            UnknownArtefactError: there is none under this id.
            StoreError: the artefact is not a chunk index, or its bytes are not those of its id.
        """
        try:
            data = self.artefact_path(artefact).read_bytes()
        except FileNotFoundError:
            raise UnknownArtefactError(f"the store has no artefact {artefact}") from None
        if hashlib.sha256(data).hexdigest() != artefact:
            raise StoreError(
                f"artefact {artefact} is damaged: its bytes have another hash; import the image again"
            )
        try:
            return ChunkIndex.decode(data)
        except ChunkIndexError as error:
            raise StoreError(f"artefact {artefact}: {error}") from error

    def references(self) -> set[str]:
        """Return the digests of all chunks that some index in the store speaks of."""
        return {chunk.digest for artefact in self.indexes() for chunk in self.index(artefact)}

    def add_artefact(self, source: Path | bytes | Iterable[bytes]) -> str:
        """Keep a whole file and return its id; keeping it twice changes nothing.

        Args:
            source: A path, the bytes, or the bytes piece by piece; what raises an exception keeps nothing.

        Raises:
            StoreFullError: no space left; nothing was kept.
            OSError: the source cannot be read.
        """
        with self.ingest() as ingest:
            return ingest.add_artefact(source)

    def remove_artefact(self, artefact: str) -> None:
        """Remove an artefact that is not a chunk index; nothing happens if it is not there."""
        path = self.artefact_path(artefact)
        if path.exists() and self._is_index(artefact):
            raise StoreError(f"artefact {artefact} is the index of an image; remove the image")
        path.unlink(missing_ok=True)

    def remove_image(self, index: str, *, lock_seconds: float = LOCK_SECONDS) -> int:
        """Remove an index and the chunks that no other index in the store needs.

        Returns:
            How many bytes of chunk files were freed.

        Raises:
            UnknownArtefactError: there is no such index.
            StoreBusyError: imports held the store for longer than ``lock_seconds``.
        """
        with self._exclusive(lock_seconds):
            mine = {chunk.digest for chunk in self.index(index)}
            # The index goes first: from here on a crash leaves chunks without an index, never the reverse.
            self.artefact_path(index).unlink()
            _sync_directory(self._artefacts)
            return sum(self._drop_chunk(digest) for digest in mine - self.references())

    def sweep(self, *, lock_seconds: float = LOCK_SECONDS) -> int:
        """Remove what crashes left behind: unfinished imports, and chunks that no index speaks of.

        Returns:
            How many bytes were freed.

        Raises:
            StoreBusyError: imports held the store for longer than ``lock_seconds``.
        """
        with self._exclusive(lock_seconds):
            freed = 0
            for leftover in self._tmp.iterdir():
                freed += sum(path.stat().st_size for path in leftover.rglob("*") if path.is_file())
                shutil.rmtree(leftover)
            needed = self.references()
            for path in self._chunks.glob("*/*"):
                if path.name not in needed:
                    freed += self._drop_chunk(path.name)
            return freed

    @contextmanager
    def ingest(self) -> Iterator[Ingest]:
        """Open a place to put new chunks and artefacts; what is not committed on leaving is gone.

        Raises:
            StoreFullError: the store ran out of space within the ``with`` block.
        """
        with ExitStack() as stack:
            stack.enter_context(self._lock(fcntl.LOCK_SH, LOCK_SECONDS))
            place = self._tmp / secrets.token_hex(8)
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            try:
                place.mkdir()
                yield Ingest(self, place)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                free = shutil.disk_usage(self.root).free
                raise StoreFullError(
                    f"no space left in the image store {self.root} ({free} bytes free); nothing was kept. "
                    "Remove images or give the store a larger file system"
                ) from error

    def _is_index(self, artefact: str) -> bool:
        with self.artefact_path(artefact).open("rb") as file:
            return is_chunk_index(file.read(len(MAGIC)))

    def _drop_chunk(self, digest: str) -> int:
        path = self.chunk_path(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    @contextmanager
    def _exclusive(self, seconds: float) -> Iterator[None]:
        with self._lock(fcntl.LOCK_EX, seconds):
            yield

    @contextmanager
    def _lock(self, kind: int, seconds: float) -> Iterator[None]:
        # flock belongs to the open file, so it works between threads too, and ends with the process.
        with (self.root / "lock").open("ab") as file:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise StoreBusyError(
                            f"the image store {self.root} is in use (an import or a removal); "
                            f"waited {seconds:g} s, try again later"
                        ) from None
                    time.sleep(0.05)
            yield


class Ingest:
    """What one import has brought so far; ``ImageStore.ingest`` makes it. Any thread may add chunks."""

    def __init__(self, store: ImageStore, place: Path) -> None:
        self._store = store
        self._place = place

    @property
    def scratch(self) -> Path:
        """A folder, not made yet, that is gone with the import."""
        return self._place / "scratch"

    def knows(self, digest: str) -> bool:
        """Return whether a chunk need not be brought again."""
        return self._store.chunk_path(digest).exists() or (self._place / digest).exists()

    def add_chunk(self, digest: str, frame: bytes) -> None:
        """Keep one zstd frame under the digest of its plain bytes, which the caller has computed."""
        # Two threads may bring the same chunk at once: each writes its own file, the last rename wins.
        partial = self._place / f"{digest}.{secrets.token_hex(4)}"
        partial.write_bytes(frame)
        partial.rename(self._place / _checked(digest))

    def commit(self, index: ChunkIndex) -> str:
        """Make the chunks and then the index durable and visible, and return the index's id.

        Raises:
            StoreError: a chunk of the index was never brought.
        """
        for chunk in index:
            if not self.knows(chunk.digest):
                raise StoreError(f"chunk {chunk.digest} at {chunk.offset} is not in the store")
        shutil.rmtree(self.scratch, ignore_errors=True)
        _sync_file_system(self._store.root)
        touched = set()
        for path in list(self._place.iterdir()):
            final = self._store.chunk_path(path.name)
            final.parent.mkdir(exist_ok=True)
            path.rename(final)
            touched.add(final.parent)
        for directory in touched:
            _sync_directory(directory)
        _sync_directory(self._store.root / "chunks")
        return self.add_artefact(index.encode())

    def add_artefact(self, source: Path | bytes | Iterable[bytes]) -> str:
        """Keep a whole file, durable and visible at once, and return its id."""
        partial = self._place / f"artefact.{secrets.token_hex(4)}"
        digest = hashlib.sha256()
        with partial.open("wb") as target:
            for block in _pieces(source):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        final = self._store.artefact_path(digest.hexdigest())
        partial.rename(final)
        _sync_directory(final.parent)
        return final.name


def _checked(digest: str) -> str:
    # Also what keeps a path out of a name.
    if len(digest) != 64 or not _DIGITS.issuperset(digest):
        raise StoreError(f"{digest!r} is not a SHA-256 in lower-case hex")
    return digest


def _pieces(source: Path | bytes | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb") as file:
            while block := file.read(_COPY):
                yield block
    else:
        yield from source


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_file_system(path: Path) -> None:
    """Flush everything written to the file system of ``path``; unlike ``sync`` it reports write errors."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)
