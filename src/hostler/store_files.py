"""The hub's images in the rack's own store: one host, one copy. It is where the two rooms meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images import bmap
from hostler.images.captured import shrink_image
from hostler.images.chunk_batch import ChunkGiver
from hostler.images.diff import DiffError, diff
from hostler.images.export import Export, ExportForm
from hostler.images.importer import import_image
from hostler.images.netboot_files import Keeper
from hostler.images.shrink_estimate import estimate
from hostler.images.shrink_tools import NotShrunkError
from hostler.images.source import DamagedSourceError, SourceError
from hostler.images.store_errors import StoreError, StoreFullError
from hostler.images.sweeping import remove_image, sweep
from hostler.images.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from hostler.hub.image_store import Exported, Smaller
    from hostler.hub.images import Imported, Progress
    from hostler.images.chunk_batch import ChunkBatch
    from hostler.images.store import ImageStore
    from hostler.model.bootable import DiskTerms
    from hostler.model.stored_images import ImageDiff, Swept, Verified


class StoreFiles:
    """What ``hub.images.ImageFiles`` asks for, done by an image store."""

    bad_source: tuple[type[Exception], ...] = (SourceError, DiffError, NotShrunkError)
    damaged_source: tuple[type[Exception], ...] = (DamagedSourceError,)
    no_space: tuple[type[Exception], ...] = (StoreFullError,)
    bad_store: tuple[type[Exception], ...] = (StoreError,)

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._giver = ChunkGiver(store)

    def take(
        self,
        source: Path | str,
        progress: Callable[[Progress], None],
        barred: Collection[str] | None = None,
        block_map: Path | str | None = None,
        most_data: int | None = None,
        disk: DiskTerms | None = None,
    ) -> Imported:
        """Read an image and keep it."""
        mapped = None if block_map is None else bmap.fetched(block_map, barred)
        return import_image(
            source, self._store, progress, barred=barred, block_map=mapped, most_data=most_data, disk=disk
        )

    def drop(self, artefact: str) -> None:
        """Remove an artefact; of a disk its bytes too, except those that other images share."""
        if self._store.is_index(artefact):
            remove_image(self._store, artefact)
        else:
            self._store.remove_artefact(artefact)

    def limit_to(self, limit: Callable[[], int | None]) -> None:
        """Have the store hold no more than this tells."""
        self._store.limit = limit

    def kept(self) -> Collection[str]:
        """Return the ids of every artefact that is there."""
        return self._store.artefacts()

    def sweep(self, lost: Collection[str], *, dry_run: bool) -> Swept:
        """Remove these artefacts and what crashes left."""
        return sweep(self._store, lost, dry_run=dry_run)

    def verify(self, artefacts: Collection[str], progress: Callable[[Progress], None]) -> Verified:
        """Look through artefacts, and the chunks of those that are indexes."""
        return verify(self._store, artefacts, progress)

    def diff(self, first: str, second: str) -> ImageDiff:
        """Compare two images by their indexes."""
        return diff(self._store, self._store.index(first), self._store.index(second))

    def shrinks_to(self, index: str) -> int:
        """Return about how many bytes an image could be shrunk to; 0: no fewer, or not known."""
        return estimate(self._store, self._store.index(index)) or 0

    def shrink(self, index: str, progress: Callable[[Progress], None]) -> Smaller:
        """Make a smaller image of one."""
        return shrink_image(self._store, index, progress)

    def export(self, index: str, form: str) -> Exported:
        """Open an image to be given out."""
        return Export(self._store, index, ExportForm(form))

    def chunks(self, index: str, digests: Sequence[str]) -> ChunkBatch:
        """Open chunks of an image."""
        return self._giver.batch(index, digests)

    def block_map(self, index: str) -> bytes:
        """Return the block map of an image."""
        return bmap.written(self._store.index(index))

    def keeper(self, progress: Callable[[Progress], None]) -> Keeper:
        """Keep the files of a system that comes over the network."""
        return Keeper(self._store, progress)

    def keep(self, path: Path) -> str:
        """Keep a whole file."""
        return self._store.add_artefact(path)

    def file(self, artefact: str) -> Path:
        """Return where a kept file is."""
        return self._store.artefact_path(artefact)
