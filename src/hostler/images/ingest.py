"""What one import or copy brings into the store: its own until all of it is there."""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.images.store_errors import StoreError, StoreLimitError
from hostler.model.chunkindex import MAGIC, is_chunk_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostler.images.store import ImageStore
    from hostler.model.chunkindex import ChunkIndex

_COPY = 1024 * 1024


class Ingest:
    """What one import has brought so far; ``ImageStore.ingest`` makes it. Any thread may add chunks.

    Raises:
        StoreLimitError: the store holds already what it may hold.
    """

    def __init__(self, store: ImageStore, place: Path) -> None:
        self._store = store
        self._place = place
        self._counting = threading.Lock()
        self._added = 0
        self._limit = store.limit()
        self._used = store.used() if self._limit is not None else 0
        if self._limit is not None and self._used >= self._limit:
            raise self._over(0)

    @property
    def scratch(self) -> Path:
        """A folder, not made yet, that is gone with the import."""
        return self._place / "scratch"

    def knows(self, digest: str) -> bool:
        """Return whether a chunk need not be brought again; it stays until this import ends."""
        mine = self._place / digest
        if mine.exists():
            return True
        try:
            os.link(self._store.chunk_path(digest), mine)
        except FileExistsError:
            return True
        except OSError:
            # It is not there; or the file system has no (more) hard links: then it is brought again.
            return False
        return True

    def add_chunk(self, digest: str, frame: bytes) -> None:
        """Keep one zstd frame under the digest of its plain bytes, which the caller has computed.

        Raises:
            StoreLimitError: the store would hold more than it may.
        """
        final = self._place / self._store.chunk_path(digest).name
        self._count(len(frame))
        # Two threads may bring the same chunk at once: each writes its own file, the last rename wins.
        partial = self._place / f"{digest}.{secrets.token_hex(4)}"
        partial.write_bytes(frame)
        partial.rename(final)

    def adopt(self, digest: str, frame: Path) -> bool:
        """Keep a verified frame that lies elsewhere on the store's file system; return whether it is there.

        Raises:
            StoreLimitError: the store would hold more than it may.
        """
        final = self._place / self._store.chunk_path(digest).name
        try:
            self._count(frame.stat().st_size)
            os.link(frame, final)
        except FileExistsError:
            return True
        except FileNotFoundError:
            return False
        except OSError:  # no (more) hard links
            shutil.copyfile(frame, final)
        return True

    def frame(self, digest: str) -> bytes:
        """Return a frame that this import knows."""
        return (self._place / self._store.chunk_path(digest).name).read_bytes()

    def commit(self, index: ChunkIndex) -> str:
        """Make the chunks and then the index durable and visible, and return the index's id.

        Raises:
            StoreError: a chunk of the index was never brought.
            StoreLimitError: together with what others brought meanwhile, it is more than the store may hold.
            StoreBusyError: others had names come and go for too long.
        """
        digests = index.distinct()
        for digest in digests:
            if not self.knows(digest):
                raise StoreError(f"chunk {digest} is not in the store")
        shutil.rmtree(self.scratch, ignore_errors=True)
        _sync_file_system(self._store.root)
        with self._store.lock():
            new = [digest for digest in digests if not self._store.chunk_path(digest).exists()]
            self._check_limit(sum((self._place / digest).stat().st_size for digest in new))
            touched = set()
            for digest in new:
                final = self._store.chunk_path(digest)
                final.parent.mkdir(exist_ok=True)
                (self._place / digest).rename(final)
                touched.add(final.parent)
            for directory in touched:
                sync_directory(directory)
            sync_directory(self._store.root / "chunks")
            return self._keep([index.encode()])

    def add_artefact(self, source: Path | bytes | Iterable[bytes]) -> str:
        """Keep a whole file, durable and visible at once, and return its id.

        Raises:
            StoreError: it begins as a chunk index does: its chunks are nowhere.
            StoreLimitError: the store would hold more than it may.
        """
        return self._keep(self._foreign(_pieces(source)))

    def _foreign(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on what comes from outside, within the limit; nothing of it is taken for an index."""
        head = b""
        for piece in pieces:
            if len(head) < len(MAGIC):
                head = (head + piece)[: len(MAGIC)]
                if is_chunk_index(head):
                    raise StoreError("the file is the index of an image, and no part of a system")
            self._count(len(piece))
            yield piece

    def _keep(self, pieces: Iterable[bytes]) -> str:
        partial = self._place / f"artefact.{secrets.token_hex(4)}"
        digest = hashlib.sha256()
        with partial.open("wb") as target:
            for piece in pieces:
                digest.update(piece)
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        final = self._store.artefact_path(digest.hexdigest())
        partial.rename(final)
        sync_directory(final.parent)
        return final.name

    def _count(self, length: int) -> None:
        with self._counting:
            self._added += length
            if self._limit is not None and self._used + self._added > self._limit:
                raise self._over(self._added)

    def _check_limit(self, more: int) -> None:
        """Look again at what the store holds: other imports may have ended meanwhile."""
        if self._limit is not None:
            self._used = self._store.used()
            if self._used + more > self._limit:
                raise self._over(more)

    def _over(self, more: int) -> StoreLimitError:
        return StoreLimitError(
            f"the image store may hold {self._limit} bytes and holds {self._used}; "
            f"this would bring {f'at least {more}' if more else 'something'} more. Nothing was kept: "
            "remove images, or have the limit raised"
        )


def _pieces(source: Path | bytes | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb") as file:
            while block := file.read(_COPY):
                yield block
    else:
        yield from source


def sync_directory(path: Path) -> None:
    """Make what was renamed into or removed from a directory durable."""
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
