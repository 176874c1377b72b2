"""The store as the hub sees it: take an image in, drop one, keep a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images.importer import ImportProgress, ImportResult, import_image
from hostler.images.source import SourceError
from hostler.images.store import ImageStore, StoreError, StoreFullError, UnknownArtefactError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Intake:
    """An ``ImageFiles`` (hub/images.py) over a store; every method blocks."""

    bad_source: tuple[type[Exception], ...] = (SourceError,)
    no_space: tuple[type[Exception], ...] = (StoreFullError,)
    bad_store: tuple[type[Exception], ...] = (StoreError,)

    def __init__(self, store: ImageStore) -> None:
        self.store = store

    def take(self, source: Path | str, progress: Callable[[ImportProgress], None]) -> ImportResult:
        """Read an image and keep it; what ``progress`` raises undoes it."""
        return import_image(source, self.store, progress)

    def drop(self, index: str) -> None:
        """Remove an image's bytes, except those that other images share; it may be gone already."""
        try:
            self.store.remove_image(index)
        except UnknownArtefactError:
            return

    def keep(self, path: Path) -> str:
        """Keep a whole file; returns its artefact id."""
        return self.store.add_artefact(path)
