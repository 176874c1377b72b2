"""The store of images: chunks as zstd frames, everything else whole, each named by its SHA-256.

Layout of a store::

    chunks/ab/<sha256 of the plain bytes>    one zstd frame
    artefacts/<sha256 of the file>           a chunk index, a kernel, an initramfs
    damaged/<sha256 it should have>          chunks that `hostler.images.verify` found to be something else
    tmp/<random>/                            what an import or copy has of its own so far
    lock                                     held while names in chunks/ and damaged/ come and go

What has a name is complete, and durable once it matters: an import (`hostler.images.ingest`) writes its new
chunks below ``tmp/``, and only when the last one is there are they flushed (one ``syncfs`` for all of them: a
flush for each would cost more than the import itself) and renamed to their places; the index, last of all, is
flushed and renamed. A crash at any moment therefore leaves no index without its chunks and no name without
its bytes; it may leave files in ``tmp/`` and chunks no index speaks of, which `hostler.images.sweeping`
removes.

An import relies on chunks that other images brought. It holds them by hard links of its own, so that they may
be removed at any time and are there again once it is done. The lock is held for moments only; nobody waits
for an import to end. That an import is under way is told by the lock on its folder, which ends with its
process.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from hostler.images.ingest import Ingest
from hostler.images.store_errors import StoreBusyError, StoreError, StoreFullError, UnknownArtefactError
from hostler.model.chunkindex import MAGIC, ChunkIndex, ChunkIndexError, is_chunk_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

LOCK_SECONDS = 60.0
"""How long the lock may be in coming: it is held for one import's renames, or for a batch of removals."""
_DIGITS = frozenset("0123456789abcdef")


class ImageStore:
    """A directory of chunks and artefacts. Safe to use from many threads and processes at once.

    Args:
        root: The directory; made if it does not exist.

    Attributes:
        root: That directory.
        tmp: Folders of imports, under way or cut off.
        damaged: Chunks that are not what their name says.
        limit: Tells how many bytes the store may hold, asked at every import; None: as many as fit.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._chunks = root / "chunks"
        self._artefacts = root / "artefacts"
        self.tmp = root / "tmp"
        self.damaged = root / "damaged"
        self.limit: Callable[[], int | None] = lambda: None
        for directory in (self._chunks, self._artefacts, self.tmp, self.damaged):
            directory.mkdir(parents=True, exist_ok=True)

    def chunk_path(self, digest: str) -> Path:
        """Return where the zstd frame of a chunk is or would be; raises StoreError for a malformed digest."""
        return self._chunks / checked_digest(digest)[:2] / digest

    def artefact_path(self, artefact: str) -> Path:
        """Return where an artefact is or would be; raises StoreError for a malformed id."""
        return self._artefacts / checked_digest(artefact)

    def artefacts(self) -> list[str]:
        """Return the ids of all artefacts, sorted."""
        return sorted(entry.name for entry in self._artefacts.iterdir())

    def indexes(self) -> list[str]:
        """Return the ids of the artefacts that are chunk indexes, sorted."""
        return [artefact for artefact in self.artefacts() if self.is_index(artefact)]

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
        """Return the digests of all chunks that some index in the store speaks of; raises like ``index``."""
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
        if self.is_index(artefact):
            raise StoreError(f"artefact {artefact} is the index of an image; remove the image")
        self.artefact_path(artefact).unlink(missing_ok=True)

    def used(self) -> int:
        """Return the bytes of everything that has a name."""
        total = 0
        for directory in (*self.chunk_directories(), self._artefacts, self.damaged):
            for entry in os.scandir(directory):
                with suppress(FileNotFoundError):  # removed just now
                    total += entry.stat().st_size
        return total

    def chunk_directories(self) -> list[Path]:
        """Return the directories with chunks, sorted."""
        return sorted(self._chunks.iterdir())

    @contextmanager
    def ingest(self) -> Iterator[Ingest]:
        """Open a place to put new chunks and artefacts; what is not committed on leaving is gone.

        Raises:
            StoreFullError: the store ran out of space within the ``with`` block, or is at its limit.
        """
        with ExitStack() as stack:
            place = self.tmp / secrets.token_hex(8)
            try:
                with self.lock():  # or a sweep could take the folder for one that a crash left
                    place.mkdir()
                    stack.callback(shutil.rmtree, place, ignore_errors=True)
                    alive = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
                    stack.callback(os.close, alive)
                    fcntl.flock(alive, fcntl.LOCK_EX)
                yield Ingest(self, place)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                free = shutil.disk_usage(self.root).free
                raise StoreFullError(
                    f"no space left in the image store {self.root} ({free} bytes free); nothing was kept. "
                    "Remove images or give the store a larger file system"
                ) from error

    def is_index(self, artefact: str) -> bool:
        """Tell whether an artefact is there and begins as a chunk index does."""
        try:
            with self.artefact_path(artefact).open("rb") as file:
                return is_chunk_index(file.read(len(MAGIC)))
        except FileNotFoundError:  # removed just now
            return False

    @contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Have names come and go for nobody else; raises StoreBusyError after so many seconds."""
        # flock belongs to the open file, so it works between threads too, and ends with the process.
        with (self.root / "lock").open("ab") as file:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise StoreBusyError(
                            f"the image store {self.root} is in use (an import or a removal); "
                            f"waited {seconds:g} s, try again later"
                        ) from None
                    time.sleep(0.02)
            yield


def checked_digest(digest: str) -> str:
    """Return a digest that is one; raises StoreError for anything else."""
    # Also what keeps a path out of a name.
    if len(digest) != 64 or not _DIGITS.issuperset(digest):
        raise StoreError(f"{digest!r} is not a SHA-256 in lower-case hex")
    return digest
