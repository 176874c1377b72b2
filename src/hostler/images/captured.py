"""A captured disk put into the store: from the spool that netboot filled, all of it or nothing."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hostler.images.chunk_frame import plain_chunk
from hostler.images.cutting import cut, lay_out
from hostler.images.shrink import Shrunk, shrink
from hostler.images.shrink_estimate import estimate
from hostler.images.shrink_tools import NotShrunkError
from hostler.images.store_errors import StoreError, StoreFullError
from hostler.model.capture_spool import INDEX_FILE, PREFIX, spool_name
from hostler.model.chunkindex import ChunkIndex, ChunkIndexError
from hostler.model.store_room import kept_free

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hostler.images.ingest import Ingest
    from hostler.images.store import ImageStore


class MissingChunksError(StoreError):
    """Chunks of the image, or its index, are neither in the spool nor in the store: to be sent again."""


@dataclass(frozen=True, slots=True)
class StoredCapture:
    """What a capture became.

    Attributes:
        index: Artefact id of its chunk index.
        size: Bytes of the image.
        data_bytes: Bytes of it that are not holes.
        chunk_size: Grid of the index.
        shrunk_from: Its size before it was shrunk; None: it was not to be.
        shrink_note: Why it was not shrunk, or not more; empty otherwise.
        shrinks_to: About how small it could be made; 0: no smaller, or not known.
    """

    index: str
    size: int
    data_bytes: int
    chunk_size: int
    shrunk_from: int | None = None
    shrink_note: str = ""
    shrinks_to: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def store_capture(
    store: ImageStore, run: str, step: int, index: str, *, smaller: bool, most_data: int | None = None,
    beat: Callable[[], None] = lambda: None,
) -> StoredCapture:  # fmt: skip
    """Put what lies in a step's spool into the store. Blocks; may be repeated.

    Args:
        store: The store.
        run: The run's id.
        step: Number of its step.
        index: Id of the index that was handed in.
        smaller: Shrink the image as well; one that cannot be shrunk is stored as it is.
        most_data: How many bytes that are not holes it may have; None: any number.
        beat: Called all the while; what it raises ends the work, and nothing is stored.

    Raises:
        MissingChunksError: Something of it is not there.
        StoreFullError: There is no room for it, or for shrinking it; or the store may hold no more, or the
            image not as much data.
    """
    place = store.tmp / spool_name(run, step)
    try:
        found = ChunkIndex.decode((place / INDEX_FILE).read_bytes())
    except (OSError, ChunkIndexError) as error:
        raise MissingChunksError(f"the index of the capture is not there: {error}") from None
    if found.id != index:
        raise MissingChunksError("the capture's index is another one")
    if not smaller:
        _refuse_more(found, most_data)
    with store.ingest() as ingest:
        for digest in found.distinct():
            beat()
            if not ingest.knows(digest) and not ingest.adopt(digest, place / digest):
                raise MissingChunksError(f"chunk {digest} is not there")
        made, shrunk = _smaller(store, found, ingest, beat) if smaller else (found, None)
        _refuse_more(made, most_data)
        artefact = ingest.commit(made)
    before = None if shrunk is None else shrunk.before
    note = "" if shrunk is None else shrunk.note
    least = 0 if smaller else estimate(store, made) or 0
    return StoredCapture(artefact, made.size, made.data_bytes, made.chunk_size, before, note, least)


def _refuse_more(index: ChunkIndex, most_data: int | None) -> None:
    if most_data is not None and index.data_bytes > most_data:
        raise StoreFullError(
            f"the image has {index.data_bytes} bytes of data, and {most_data} were left for it when the "
            "capture was ordered (image_limit_per_person); remove images, or ask an admin"
        )


@dataclass(frozen=True, slots=True)
class ShrinkProgress:
    """How far shrinking has come: bytes laid out and cut again, of how many."""

    read: int
    total: int
    written: int


def shrink_image(store: ImageStore, index: str, progress: Callable[[ShrinkProgress], None]) -> StoredCapture:
    """Make a smaller image of one in the store. Blocks.

    Args:
        store: The store.
        index: Artefact id of its index.
        progress: Told how far it is; what it raises ends the work.

    Raises:
        NotShrunkError: It cannot be shrunk at all, or is as small as it can be.
        StoreFullError: There is no room for it, or for what lies about meanwhile.
        StoreError: It is damaged.
    """
    found = store.index(index)
    total = 2 * found.data_bytes

    def seen(done: int) -> None:
        progress(ShrinkProgress(min(done, total), total, done))

    with store.ingest() as ingest:
        for digest in found.distinct():
            if not ingest.knows(digest):
                raise StoreError(f"chunk {digest} is not in the store; import the image again")
        made, shrunk = _shrunk(store, found, ingest, seen)
        if made.size >= found.size:
            raise NotShrunkError(
                f"the image is as small as it can be made: {shrunk.note or 'nothing is free'}"
            )
        artefact = ingest.commit(made)
    return StoredCapture(
        artefact, made.size, made.data_bytes, made.chunk_size, shrunk.before, shrunk.note
    )  # fmt: skip


def _smaller(
    store: ImageStore, index: ChunkIndex, ingest: Ingest, beat: Callable[[], None]
) -> tuple[ChunkIndex, Shrunk]:
    try:
        return _shrunk(store, index, ingest, lambda _: beat())
    except (NotShrunkError, ValueError, ArithmeticError) as error:  # the last two: of a nonsensical table
        shutil.rmtree(ingest.scratch, ignore_errors=True)
        return index, Shrunk(index.size, index.size, str(error))


def _shrunk(
    store: ImageStore, index: ChunkIndex, ingest: Ingest, seen: Callable[[int], None]
) -> tuple[ChunkIndex, Shrunk]:
    written = index.data_bytes
    # The disk, and then first its last file system and later the new chunks beside it.
    _refuse_low(store, 2 * written)

    def beat(done: int) -> None:
        _refuse_low(store, 0)  # others write there too
        seen(done)

    ingest.scratch.mkdir()
    disk = ingest.scratch / "disk"
    lay_out(index, lambda chunk: plain_chunk(chunk.digest, ingest.frame(chunk.digest)), disk, beat)
    shrunk = shrink(disk, lambda: beat(written))
    made, _ = cut(disk, ingest, index.chunk_size, lambda done: beat(written + done))
    return made, shrunk


def _refuse_low(store: ImageStore, more: int) -> None:
    """Raise StoreFullError when so many bytes more would leave too little free."""
    disk = shutil.disk_usage(store.root)
    kept = kept_free(disk.total)
    if disk.free - more < kept:
        needed = f", and {more} are needed meanwhile" if more else ""
        raise StoreFullError(
            f"there is no room to shrink the image: the image store has {disk.free} bytes free, of which "
            f"{kept} are kept{needed}. Nothing was stored: remove images, or give it a larger file system"
        )


def drop_spools(store: ImageStore, but: Collection[str]) -> None:
    """Remove the spools of all runs except these."""
    for place in store.tmp.glob(f"{PREFIX}*"):
        if place.name.removeprefix(PREFIX).rpartition("-")[0] not in but:
            shutil.rmtree(place, ignore_errors=True)
