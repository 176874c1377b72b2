"""The hub's images in the rack's own store: one host, one copy. It is where the two rooms meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images.importer import import_image
from hostler.images.netboot_files import Keeper
from hostler.images.source import SourceError
from hostler.images.store_errors import StoreError, StoreFullError
from hostler.images.sweeping import remove_image

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from hostler.hub.images import Imported, Progress
    from hostler.images.store import ImageStore


class StoreFiles:
    """What ``hub.images.ImageFiles`` asks for, done by an image store."""

    bad_source: tuple[type[Exception], ...] = (SourceError,)
    no_space: tuple[type[Exception], ...] = (StoreFullError,)
    bad_store: tuple[type[Exception], ...] = (StoreError,)

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def take(
        self, source: Path | str, progress: Callable[[Progress], None], barred: Collection[str] | None = None
    ) -> Imported:
        """Read an image and keep it."""
        return import_image(source, self._store, progress, barred=barred)

    def drop(self, artefact: str) -> None:
        """Remove an artefact; of a disk its bytes too, except those that other images share."""
        if self._store.has_index(artefact):
            remove_image(self._store, artefact)
        else:
            self._store.remove_artefact(artefact)

    def keeper(self, progress: Callable[[Progress], None]) -> Keeper:
        """Keep the files of a system that comes over the network."""
        return Keeper(self._store, progress)

    def keep(self, path: Path) -> str:
        """Keep a whole file."""
        return self._store.add_artefact(path)

    def file(self, artefact: str) -> Path:
        """Return where a kept file is."""
        return self._store.artefact_path(artefact)
