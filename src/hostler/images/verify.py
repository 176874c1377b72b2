"""Looking through the store: every chunk is decompressed and hashed, every other file hashed.

A chunk that is not what its name says is set aside, since everybody relies on names: the next import that
has it stores it anew, and every image that shares it is whole again. It is read twice before that, the second
time under the store's lock. Anything may come and go meanwhile; what is gone with its image is no fault.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hostler.images.chunk_frame import DamagedChunkError, plain_chunk
from hostler.images.importer import ImportProgress
from hostler.images.ingest import sync_directory
from hostler.images.store_errors import StoreError, UnknownArtefactError
from hostler.model.stored_images import FaultKind, StoreFault, Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from hostler.images.store import ImageStore

_COPY = 1024 * 1024
_PROGRESS_SECONDS = 0.1


def verify(
    store: ImageStore, artefacts: Iterable[str], progress: Callable[[ImportProgress], None] = lambda _: None
) -> Verified:
    """Look through what images consist of. Blocks; run it in a thread.

    Args:
        store: The store.
        artefacts: Ids of chunk indexes and of other files.
        progress: Called from this thread at most ten times a second, with bytes read, of how many, and their
            plain bytes; what it raises ends the work.

    Raises:
        StoreBusyError: others had names come and go for too long for damaged chunks to be set aside.
    """
    return _Verification(store, progress).run(sorted(set(artefacts)))


class _Verification:
    def __init__(self, store: ImageStore, progress: Callable[[ImportProgress], None]) -> None:
        self._store = store
        self._progress = progress
        self._read = self._total = self._plain = 0
        self._told = 0.0

    def run(self, artefacts: list[str]) -> Verified:
        faults: list[StoreFault] = []
        digests: dict[str, None] = {}
        for artefact in artefacts:
            found = self._artefact(artefact)
            if isinstance(found, StoreFault):
                faults.append(found)
            digests |= dict.fromkeys(found if isinstance(found, list) else ())
        self._total = self._read + sum(self._sizes(digests))
        suspects = [(digest, kind, text) for digest, kind, text in self._chunks(digests) if kind is not None]
        users = self._users({digest for digest, *_ in suspects}) if suspects else {}
        faults += [fault for suspect in suspects if (fault := self._settled(*suspect, users)) is not None]
        self._progress(ImportProgress(self._read, self._total, self._plain))
        return Verified(len(digests), len(artefacts), self._read, tuple(faults))

    def _artefact(self, artefact: str) -> StoreFault | list[str]:
        """Hash a file; returns the chunks it speaks of."""
        digest = hashlib.sha256()
        try:
            with self._store.artefact_path(artefact).open("rb") as file:
                while block := file.read(_COPY):
                    digest.update(block)
                    self._read += len(block)
                    self._tell()
            if digest.hexdigest() != artefact:
                return StoreFault(FaultKind.DAMAGED, artefact, (artefact,), chunk=False)
            return self._store.index(artefact).distinct() if self._store.is_index(artefact) else []
        except (FileNotFoundError, UnknownArtefactError):
            return StoreFault(FaultKind.MISSING, artefact, (artefact,), chunk=False)
        except StoreError as error:
            return StoreFault(FaultKind.DAMAGED, artefact, (artefact,), chunk=False, text=str(error))
        except OSError as error:
            return StoreFault(FaultKind.UNREADABLE, artefact, (artefact,), chunk=False, text=str(error))

    def _users(self, digests: set[str]) -> dict[str, list[str]]:
        """Return which indexes of the store need each of these chunks, those not looked at included."""
        found: dict[str, list[str]] = defaultdict(list)
        for artefact in self._store.indexes():
            try:
                mine = digests.intersection(self._store.index(artefact).distinct())
            except StoreError:
                continue  # removed just now, or a fault of its own
            for digest in mine:
                found[digest].append(artefact)
        return found

    def _sizes(self, digests: Iterable[str]) -> Iterator[int]:
        for digest in digests:
            try:
                yield self._store.chunk_path(digest).stat().st_size
            except OSError:
                yield 0

    def _chunks(self, digests: Iterable[str]) -> Iterator[tuple[str, FaultKind | None, str]]:
        """Check chunks in threads: reading, zstd and SHA-256 release the GIL."""
        threads = os.cpu_count() or 1
        flying: deque[Future[tuple[str, FaultKind | None, str, int, int]]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
            try:
                for digest in digests:
                    flying.append(pool.submit(self._chunk, digest))
                    if len(flying) >= 4 * threads:
                        yield self._counted(flying.popleft().result())
                while flying:
                    yield self._counted(flying.popleft().result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _counted(
        self, found: tuple[str, FaultKind | None, str, int, int]
    ) -> tuple[str, FaultKind | None, str]:
        digest, kind, text, read, plain = found
        self._read += read
        self._plain += plain
        self._tell()
        return digest, kind, text

    def _chunk(self, digest: str) -> tuple[str, FaultKind | None, str, int, int]:
        try:
            frame = self._store.chunk_path(digest).read_bytes()
        except FileNotFoundError:
            return digest, FaultKind.MISSING, "", 0, 0
        except OSError as error:
            return digest, FaultKind.UNREADABLE, str(error), 0, 0
        try:
            return digest, None, "", len(frame), len(plain_chunk(digest, frame))
        except DamagedChunkError as error:
            return digest, FaultKind.DAMAGED, str(error), len(frame), 0

    def _settled(
        self, digest: str, kind: FaultKind, text: str, users: dict[str, list[str]]
    ) -> StoreFault | None:
        """Look once more, and set aside what is damaged; None: it was well, or nobody needs it any more."""
        needed = users.get(digest)
        if not needed:
            return None
        with self._store.lock():
            _, again, *_ = self._chunk(digest)
            if again is None:
                return None
            if again is FaultKind.DAMAGED:
                path = self._store.chunk_path(digest)
                path.rename(self._store.damaged / digest)
                sync_directory(self._store.damaged)
                sync_directory(path.parent)
        return StoreFault(kind, digest, tuple(needed), chunk=True, text=text)

    def _tell(self) -> None:
        if time.monotonic() - self._told >= _PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._progress(ImportProgress(self._read, self._total or None, self._plain))
