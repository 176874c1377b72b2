"""Installing: an image's chunks from the rack onto a disk, and the proof that they are there.

A few workers each take the next run of adjacent chunks (an *extent*, 4 MiB), fetch its frames over a
connection of their own, decompress them, check each one's SHA-256 and write the run with one aligned
direct write. One worker's network wait is another's decompression and a third's disk write, without
queues; memory is a few MiB for each worker, whatever the size of the image.

What the disk holds already is neither fetched nor written: an extent is read and hashed first, if
that pays (``agent/looking.py``). So a step that begins again, after a power cut, goes on where it was. Chunks
that several boards want at once come out of the rack's carousel instead (``agent/carousel.py``), or from each
other (``agent/peers.py``).

Verifying reads back every chunk past the page cache, once, and compares its SHA-256: what was found on
the disk was read so. What differs is written once more; what differs then fails the step.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.agent.extents import EXTENT, Extent, equal_chunks, frame_limit, in_threads
from hostler.agent.holes import clear_holes, sample_holes
from hostler.agent.media import aligned_buffer, up
from hostler.agent.peers import Peers
from hostler.agent.turn import offer_or_turn
from hostler.agent.work import DiskFaultError, StepError, TooLargeError
from hostler.agent.writing import ChunkSource, Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hostler.agent.carousel import Caller
    from hostler.agent.looking import Looking
    from hostler.agent.media import Media
    from hostler.agent.work import Work
    from hostler.model.chunkindex import ChunkIndex
    from hostler.model.json import Document

WORKERS = 4
_ASK_FIRST, _ASK_SECONDS = 0.125, 1.0  # boards of a rack begin together; others at any time
_WORTH_SHARING = 8 * EXTENT  # less than this is there before the carousel has come round


@dataclass(slots=True)
class Installed:
    """What an installation did; ``to_json`` is the step's result.

    Attributes:
        data_bytes: Bytes of the image that are not holes.
        fetched_bytes: Bytes of the frames that came over the network.
        shared_bytes: Of those, the bytes that came out of a multicast carousel.
        peer_bytes: Of those, the bytes that came from other boards.
        given_bytes: Bytes of the frames that were given to other boards.
        kept_bytes: Of ``data_bytes``, those that were on the disk already.
    """

    data_bytes: int = 0
    fetched_bytes: int = 0
    shared_bytes: int = 0
    peer_bytes: int = 0
    given_bytes: int = 0
    kept_bytes: int = 0
    chunks: int = 0
    hole_bytes: int = 0
    holes_zeroed_by: str = "disk"
    holes_read: int = 0
    rewritten_bytes: int = 0
    partitions_reread: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        document: Document = {name: getattr(self, name) for name in self.__slots__}
        document["seconds"] = {name: round(value, 3) for name, value in self.seconds.items()}
        return document


def install(
    index: ChunkIndex,
    media: Media,
    source: ChunkSource,
    work: Work,
    *,
    caller: Caller | None = None,
    workers: int = WORKERS,
    verify: bool = True,
    look: bool = True,
    keep_rest: bool = False,
) -> Installed:
    """Write an image to a disk and prove it.

    Args:
        index: The image.
        media: The disk, open for writing.
        source: Where its chunks come from.
        work: Takes progress (bytes of the image, holes included) and log.
        caller: Whom to ask for a carousel; None: everything comes by HTTP.
        workers: How many extents are under way at once.
        verify: Read everything back afterwards; only measurements leave it out.
        look: Read what is on the disk where that pays; likewise.
        keep_rest: Leave what lies behind the image as it is.

    Raises:
        StepError: the image does not fit (nothing was written), a chunk is not to be had, the disk fails,
            or what was written does not read back.
    """
    check_fits(index, media)
    extents = list(index.extents(EXTENT))
    result = Installed(
        data_bytes=index.data_bytes, chunks=len(index), hole_bytes=index.size - index.data_bytes
    )
    started = time.monotonic()
    work.begin("executing", index.size)
    result.holes_zeroed_by = clear_holes(index, media, work, keep_rest=keep_rest)
    result.seconds["holes"] = time.monotonic() - started
    writing = Writing(index, media, source, work, workers)
    with (
        Peers(caller, index.id, source, work, frame_limit(index.chunk_size)) if caller else nullcontext()
    ) as peers:  # to the end of the proof: others may still lack what this board has
        _bring(writing, extents, index, caller, peers, work, look=look)
        media.sync()
        result.seconds["write"] = time.monotonic() - started
        brought = writing.kept_bytes + _bytes(writing.written)
        if brought < index.data_bytes:  # what was not written is not read back either
            raise StepError(f"only {brought} of {index.data_bytes} bytes were brought to {media.path}")
        if verify:
            proved = sorted(writing.written) if media.direct else extents
            result.rewritten_bytes = _prove(proved, index, media, writing, work, workers)
            if result.holes_zeroed_by == "disk":
                result.holes_read = sample_holes(index, media, work)
            result.seconds["verify"] = time.monotonic() - started - result.seconds["write"]
    if peers is not None:
        result.peer_bytes, result.given_bytes = peers.fetched_bytes, peers.given_bytes
    result.fetched_bytes, result.shared_bytes = writing.fetched_bytes, writing.shared_bytes
    result.kept_bytes = writing.kept_bytes
    result.partitions_reread = media.reread_partitions()
    return result


def check_fits(index: ChunkIndex, media: Media) -> None:
    """Raise TooLargeError, with both sizes, unless the image fits the disk."""
    if index.size > media.size:
        raise TooLargeError(f"the image needs {index.size} bytes, but {media.path} has only {media.size}")


def _bring(
    writing: Writing,
    extents: list[Extent],
    index: ChunkIndex,
    caller: Caller | None,
    peers: Peers | None,
    work: Work,
    *,
    look: bool,
) -> None:
    """Have everything on the disk that it lacks."""
    looking = writing.first_look() if look else None
    if caller is None or peers is None or index.data_bytes < _WORTH_SHARING:
        writing.fetch(extents, looking)
        return
    artefact = index.id
    # Before anything is fetched: boards begin together, and what each fetches by itself delays all.
    offer, left = _bring_until_offered(writing, extents, looking, caller, artefact, work)
    if left and looking is not None and offer is not None:
        with _asking(caller, artefact):  # or the rack takes nobody to want the image while all boards read
            left = writing.all_lacking(left, looking)
        # That takes minutes: the carousel may be another one by now, or none.
        offer, left = _bring_until_offered(writing, left, None, caller, artefact, work)
    if left and offer is not None:
        if "peers" not in offer:
            left = writing.share(left, offer, caller, artefact)
        if "peers" in offer or _bytes(left) >= _WORTH_SHARING:
            left = writing.with_others(left, peers)
        if (lacks := _bytes(left)) >= _WORTH_SHARING:
            offer_or_turn(caller, artefact, work, lacks, shared=False)
    if left:
        writing.fetch(left, None)
    caller.carousel(artefact, {"leave": "it has the whole image"})  # to others it is the turn


def _bring_until_offered(
    writing: Writing,
    extents: list[Extent],
    looking: Looking | None,
    caller: Caller,
    artefact: str,
    work: Work,
) -> tuple[Document | None, list[Extent]]:
    """Fetch by HTTP, in turn, until there is a carousel; return where it is, and what still lacks then."""
    lacks = _bytes(extents)
    if lacks >= _WORTH_SHARING:
        offer = offer_or_turn(caller, artefact, work, lacks)
    else:
        offer = caller.carousel(artefact, {}) if extents else None
    if offer is not None or not extents:
        return offer, extents
    with _asking(caller, artefact) as offered:
        left = writing.fetch(extents, looking, lambda: offered() is not None)
    return offered(), left


def _bytes(extents: Iterable[Extent]) -> int:
    return sum(chunk.length for extent in extents for chunk in extent)


@contextmanager
def _asking(caller: Caller, artefact: str) -> Iterator[Callable[[], Document | None]]:
    """Ask for a carousel from time to time, which also tells the rack that the image is still wanted."""
    offers: list[Document] = []
    over = threading.Event()

    def ask() -> None:
        delay = _ASK_FIRST
        while not over.wait(delay):
            delay = min(2 * delay, _ASK_SECONDS)
            answer = caller.carousel(artefact, {})
            if answer is not None:
                offers[:] = [answer]

    thread = threading.Thread(target=ask, name="carousel-offer")
    thread.start()
    try:
        yield lambda: offers[0] if offers else None
    finally:
        over.set()
        thread.join()


def _prove(
    extents: list[Extent], index: ChunkIndex, media: Media, writing: Writing, work: Work, workers: int
) -> int:
    """Read back what was written; write once more what differs, and return how many bytes that were."""
    work.begin("verifying", _bytes(extents))
    bad = _differing(extents, index, media, work, workers)
    if not bad:
        return 0
    where = ", ".join(str(extent[0].offset) for extent in bad[:8])
    work.say(f"install: {len(bad)} extents read back differently, at {where}; writing them once more")
    writing.fetch(bad, None)
    media.sync()
    if still := _differing(bad, index, media, work, workers):
        raise DiskFaultError(
            f"{media.path} does not keep what is written: {len(still)} extents differ after a second "
            f"attempt, the first at {still[0][0].offset}"
        )
    return _bytes(bad)


def _differing(
    extents: Iterable[Extent], index: ChunkIndex, media: Media, work: Work, workers: int
) -> list[Extent]:
    """Return the extents of which at least one chunk does not read back."""
    bad: list[Extent] = []

    def work_on(_number: int, queue: Iterator[Extent]) -> None:
        buffer = aligned_buffer(max(EXTENT, index.chunk_size))
        for extent in queue:
            length = sum(chunk.length for chunk in extent)
            media.read(buffer[: up(length, media.block)], extent[0].offset)
            if not all(equal_chunks(extent, buffer)):
                bad.append(extent)
            work.advance(length)

    in_threads(work_on, extents, workers, work)
    return sorted(bad)
