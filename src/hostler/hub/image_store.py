"""What the care of stored images asks of where their bytes are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from hostler.hub.images import Progress
    from hostler.model.stored_images import ImageDiff, Swept, Verified


class Exported(Protocol):
    """An image as one string of bytes, of which any part can be had."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    @property
    def tag(self) -> str:
        """Two with the same tag are the same bytes."""
        ...

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``; blocks, and raises when one is damaged."""
        ...


class Chunks(Protocol):
    """Some chunks of an image in one piece, as ``model.chunk_stream`` has it."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """Yield it; blocks, and raises when a chunk has gone."""
        ...


class Smaller(Protocol):
    """What shrinking an image brought."""

    @property
    def index(self) -> str:
        """Artefact id of the new chunk index."""
        ...

    @property
    def size(self) -> int:
        """Bytes the image needs on a disk."""
        ...

    @property
    def data_bytes(self) -> int:
        """Bytes of it that are not holes."""
        ...

    @property
    def chunk_size(self) -> int:
        """Grid of the index in bytes."""
        ...

    @property
    def shrink_note(self) -> str:
        """Why it is not smaller still; or nothing."""
        ...


class StoreCare(Protocol):
    """What the care needs of where the bytes are. Every method blocks and is called from a thread."""

    def limit_to(self, limit: Callable[[], int | None]) -> None:
        """Have the store hold no more bytes than this tells when something is put into it."""
        ...

    def kept(self) -> Collection[str]:
        """Return the ids of every artefact that is there."""
        ...

    def sweep(self, lost: Collection[str], *, dry_run: bool) -> Swept:
        """Remove these artefacts and what crashes left."""
        ...

    def verify(self, artefacts: Collection[str], progress: Callable[[Progress], None]) -> Verified:
        """Look through artefacts, and the chunks of those that are indexes."""
        ...

    def diff(self, first: str, second: str) -> ImageDiff:
        """Compare two images by their indexes."""
        ...

    def shrinks_to(self, index: str) -> int:
        """Return about how many bytes an image could be shrunk to; 0: no fewer, or not known."""
        ...

    def shrink(self, index: str, progress: Callable[[Progress], None]) -> Smaller:
        """Make a smaller image of one; what ``progress`` raises undoes it."""
        ...

    def export(self, index: str, form: str) -> Exported:
        """Open an image to be given out."""
        ...

    def chunks(self, index: str, digests: Sequence[str]) -> Chunks:
        """Open chunks of an image; those that are not of it count as not there."""
        ...

    def block_map(self, index: str) -> bytes:
        """Return the block map of an image."""
        ...
