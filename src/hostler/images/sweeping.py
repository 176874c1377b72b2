"""Removing from the store: an image with what only it needs, and what nobody needs.

Safe at any time: what an import relies on it holds itself, and what goes, goes in batches, each under the
store's lock and after a look at the indexes that came since the last one. An index is the first to go, so
that a crash leaves chunks without an index, never the reverse.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import TYPE_CHECKING

from hostler.images.ingest import sync_directory
from hostler.images.store_errors import StoreError, UnknownArtefactError
from hostler.model.capture_spool import PREFIX
from hostler.model.stored_images import Swept

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from hostler.images.store import ImageStore

_BATCH = 1000  # unlinks under one lock: a second on a slow disk


def remove_image(store: ImageStore, index: str) -> int:
    """Remove an index and the chunks that no other index in the store needs; returns the bytes freed.

    The chunks stay for a sweep if this index, or that of another image, is damaged.

    Raises:
        UnknownArtefactError: there is no such index.
        StoreBusyError: others had names come and go for too long.
    """
    try:
        mine = frozenset(store.index(index).distinct())
    except UnknownArtefactError:
        raise
    except StoreError:
        mine = frozenset()
    with store.lock():
        store.artefact_path(index).unlink(missing_ok=True)
        sync_directory(store.artefact_path(index).parent)
    needed = _Needed(store)
    return 0 if needed.damaged else _drop(store, mine, needed)[0]


def sweep(store: ImageStore, lost: Collection[str] = (), *, dry_run: bool = False) -> Swept:
    """Remove what crashes left behind: unfinished imports, and chunks that no index speaks of.

    Args:
        store: The store.
        lost: Artefacts that belong to no image, whose import is no longer under way; they go first.
        dry_run: Only tell what would be removed.

    Raises:
        StoreBusyError: others had names come and go for too long.
    """
    artefacts = [store.artefact_path(artefact) for artefact in lost if store.artefact_path(artefact).exists()]
    files = sum(_size(path) for path in artefacts)
    if artefacts and not dry_run:
        with store.lock():
            for path in artefacts:
                path.unlink(missing_ok=True)
            sync_directory(store.root / "artefacts")
    freed, unfinished = _sweep_folders(store, dry_run=dry_run)
    freed += files
    aside = list(store.damaged.iterdir())
    freed += sum(_size(path) for path in aside)
    if not dry_run:
        for path in aside:
            path.unlink(missing_ok=True)
    # The chunks are listed before the indexes are read: what is committed in between is not among them.
    there = {path.name for directory in store.chunk_directories() for path in directory.iterdir()}
    needed = _Needed(store, without=lost)
    if needed.damaged:
        return Swept(len(artefacts), 0, unfinished, len(aside), freed, needed.damaged)
    lost = there - needed.digests
    if dry_run:
        dropped, chunks = sum(_size(store.chunk_path(digest)) for digest in lost), len(lost)
    else:
        dropped, chunks = _drop(store, lost, needed)
    return Swept(len(artefacts), chunks, unfinished, len(aside), freed + dropped)


class _Needed:
    """The chunks that indexes speak of, and of which indexes that is known."""

    def __init__(self, store: ImageStore, without: Collection[str] = ()) -> None:
        self._store = store
        self._read = set(without)
        self.digests: set[str] = set()
        self.damaged = ""
        self.look()

    def look(self) -> None:
        """Read the indexes that came since the last look."""
        for artefact in self._store.indexes():
            if artefact in self._read:
                continue
            try:
                self.digests.update(self._store.index(artefact).distinct())
            except UnknownArtefactError:
                continue  # removed just now
            except StoreError:
                self.damaged = artefact
            self._read.add(artefact)


def _drop(store: ImageStore, digests: Collection[str], needed: _Needed) -> tuple[int, int]:
    """Remove those that are not needed; returns bytes and number."""
    freed = dropped = 0
    waiting = sorted(digests)
    while waiting:
        batch, waiting = waiting[:_BATCH], waiting[_BATCH:]
        with store.lock():
            needed.look()
            if needed.damaged:
                break
            for digest in batch:
                path = store.chunk_path(digest)
                if digest not in needed.digests and path.exists():
                    freed += _size(path)
                    dropped += 1
                    path.unlink()
    return freed, dropped


def _sweep_folders(store: ImageStore, *, dry_run: bool) -> tuple[int, int]:
    """Remove the folders whose import is no more; returns bytes and number.

    Spools of captures stay: their boards go on after a restart. They go with their runs (`drop_spools`).
    """
    freed = unfinished = 0
    for place in list(store.tmp.iterdir()):
        if place.name.startswith(PREFIX):
            continue
        with store.lock():  # an import locks its folder before it lets go of this
            try:
                folder = os.open(place, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            finally:
                os.close(folder)
        unfinished += 1
        freed += _freed_with(place)
        if not dry_run:
            shutil.rmtree(place, ignore_errors=True)
    return freed, unfinished


def _freed_with(place: Path) -> int:
    """Return the bytes that are freed with a folder: a hard link to a chunk that stays frees nothing."""
    try:
        found = [path.stat() for path in place.rglob("*") if path.is_file()]
    except FileNotFoundError:  # somebody else sweeps as well
        return 0
    return sum(status.st_size for status in found if status.st_nlink == 1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
