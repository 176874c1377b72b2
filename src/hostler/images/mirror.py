"""Images of another server, here: fetched when somebody first wants a piece of them, each piece once.

Whoever wants a chunk asks here. What the store or the cache has is there at once. For anything else there is
one flight, however many wait for it: threads with a connection each take what is asked for first, and then
what lies ahead of who reads an image in order, many chunks to a request, so that a long line stays full. A
chunk is handed on when it has come and is found to be what its name says, while the rest is still on its way.

A lost line costs time: what was not there yet is asked for again, until it was lost for ``give_up`` seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.images.chunk_cache import ChunkCache, touch
from hostler.images.chunk_frame import DamagedChunkError
from hostler.images.store_errors import StoreError
from hostler.images.upstream_errors import DamagedUpstreamError, NotYetError, UpstreamLostError
from hostler.images.upstream_indexes import UpstreamIndexes
from hostler.images.upstream_link import BrokenOffError, GoneError, LinkError, UpstreamLink, UpstreamPlace
from hostler.model.readahead import Readahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hostler.images.store import ImageStore
    from hostler.model.chunkindex import ChunkIndex

log = logging.getLogger(__name__)

CONNECTIONS = 8
"""One of them takes nothing ahead, so that who asks out of order does not wait for what nobody wants yet."""
BATCH = 8
"""Chunks in one request: with all connections 64 MiB asked for, more than is on the way on any line."""
AHEAD_BYTES = 128 << 20
"""How far to fetch ahead of a reader at most."""
GIVE_UP_SECONDS = 600.0
DAMAGED_TRIES = 3
_BROKEN_TRIES = 3
"""One break may be the line's."""
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_INDEXES = 16
_READERS = 4096
_OUTSTANDING = 2 * CONNECTIONS * BATCH  # of a whole image being fetched


@dataclass(slots=True)
class _Flight:
    """A chunk on its way, for an image by the id of its index."""

    index: str
    since: float = field(default_factory=time.monotonic)
    landed: Future[Path] = field(default_factory=Future)
    tries: int = 0
    broken: int = 0  # how often an answer broke off at it
    broken_since: float = 0.0


@dataclass(frozen=True, slots=True)
class _Batch:
    """Chunks to ask for at once, of an image by its name."""

    image: str
    digests: list[str]


@dataclass(slots=True)
class _Lost:
    """Since when there is no line, why, and how often it was tried since."""

    since: float
    reason: str
    tries: int = 1


class _Places:
    """The chunks of an image in order, and where each comes first."""

    def __init__(self, index: ChunkIndex) -> None:
        self.digests = index.distinct()
        self.of = {digest: place for place, digest in enumerate(self.digests)}
        self.chunk_size = index.chunk_size


class Mirror:
    """The images of one upstream. Safe to use from many threads.

    Args:
        cache: Where what was fetched is kept.
        store: This server's own images: what is in them never crosses the line.
        place: The upstream.
        names: See ``offers``.
        give_up: Seconds for which a lost line is waited for.
    """

    def __init__(
        self, cache: ChunkCache, store: ImageStore, place: UpstreamPlace, names: Mapping[str, str],
        give_up: float = GIVE_UP_SECONDS,
    ) -> None:  # fmt: skip
        self.place = place
        self.cache = cache
        self._store = store
        self._give_up = give_up
        self._names = dict(names)
        self._wake = threading.Condition()
        self._flights: dict[str, _Flight] = {}
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._ahead: OrderedDict[str, None] = OrderedDict()
        self._lost: _Lost | None = None
        self._closed = False
        self._places: OrderedDict[str, _Places] = OrderedDict()
        self._readers: OrderedDict[tuple[str, str], Readahead] = OrderedDict()
        self._links = [UpstreamLink(place) for _ in range(CONNECTIONS)]
        self._indexes = UpstreamIndexes(cache, place, lambda index: self._names.get(index), give_up)
        self._threads = [
            threading.Thread(target=partial(self._work, link, ahead=number > 0), daemon=True)
            for number, link in enumerate(self._links)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Fetch nothing more; whoever waits is told. Returns without waiting for the threads."""
        with self._wake:
            self._closed = True
            flights, self._flights = self._flights, {}
            self._wake.notify_all()
        for flight in flights.values():
            _fail(flight, NotYetError(f"chunks of {self.place.url} are not fetched any more"))
        self._indexes.close()
        for link in self._links:
            link.abort()

    # What is asked.

    def images(self) -> list[object]:
        """Return the documents of the upstream's images; raises LinkError."""
        return self._indexes.images()

    def offers(self, names: Mapping[str, str]) -> None:
        """Take note of which images there are: the id of each index, and the name it is fetched by.

        Indexes that were kept of others are removed.
        """
        self._names = dict(names)
        for artefact in set(self.cache.indexes()) - names.keys():
            self.cache.drop_index(artefact)
            self._places.pop(artefact, None)

    def index(self, artefact: str) -> Future[Path]:
        """Ask for an index; see ``UpstreamIndexes.index``."""
        return self._indexes.index(artefact)

    def chunk(self, digest: str, index: str, reader: str = "") -> Future[Path]:
        """Ask for a chunk; the future gives its path, or raises. It must not be cancelled: others wait too.

        The path may be gone again when it is opened, if the cache is small: ask again.

        Args:
            digest: Its name.
            index: The image it is wanted for.
            reader: Who reads that image, for what lies ahead; empty: nothing is fetched ahead.

        Raises (by the future):
            UpstreamLostError: the line was lost for too long.
            GoneError: the upstream does not have it.
            DamagedUpstreamError: what came was something else, several times.
            StoreError: it cannot be kept here.
            NotYetError: the upstream is another one now.
        """
        here = self._here(digest)
        if here is None:
            landed = self._fly(digest, index, asked=True)
        else:
            touch(here)
            landed = Future()
            landed.set_result(here)
        if reader:
            self.read(digest, index, reader)
        return landed

    def read(self, digest: str, index: str, reader: str) -> None:
        """Take note that somebody has a chunk, and fetch what lies ahead of it."""
        places = self._places_of(index)
        place = places.of.get(digest) if places is not None else None
        if places is None or place is None:
            return
        with self._wake:
            ahead = self._readers.setdefault((index, reader), Readahead(self._most_ahead(places)))
            self._readers.move_to_end((index, reader))
            if len(self._readers) > _READERS:
                self._readers.popitem(last=False)
            wanted = ahead.asked(place)
        missing = [one for one in places.digests[wanted.start : wanted.stop] if self._here(one) is None]
        with self._wake:
            for one in missing:
                # Looked at once more: it may have landed meanwhile.
                if not self._closed and one not in self._flights and self._here(one) is None:
                    self._flights[one] = _Flight(index)
                    self._ahead[one] = None
            self._wake.notify_all()

    def fetch_all(self, index: str) -> Iterator[tuple[int, int]]:
        """Fetch a whole image; yields plain bytes that are here, and of how many; raises as ``chunk``."""
        self.index(index).result()
        lengths = {chunk.digest: chunk.length for chunk in self.cache.read_index(index)}
        here, total = 0, sum(lengths.values())
        waiting: OrderedDict[str, Future[Path]] = OrderedDict()
        for digest in lengths:
            if self._here(digest) is not None:
                here += lengths[digest]
            else:
                waiting[digest] = self._fly(digest, index, asked=False)
            if len(waiting) > _OUTSTANDING:
                here += lengths[_first_landed(waiting)]
            yield here, total
        while waiting:
            here += lengths[_first_landed(waiting)]
            yield here, total

    def waiting(self) -> str:
        """Tell what is waited for: the upstream, and since when its line is lost."""
        lost = self._lost
        if lost is None:
            return f"chunks from {self.place.url}"
        return (
            f"chunks from {self.place.url}: link lost {time.monotonic() - lost.since:.0f} s ago "
            f"({lost.reason})"
        )

    # What is done about it.

    def _here(self, digest: str) -> Path | None:
        for path in (self._store.chunk_path(digest), self.cache.chunk(digest)):
            if path.exists():
                return path
        return None

    def _fly(self, digest: str, index: str, *, asked: bool) -> Future[Path]:
        with self._wake:
            if self._closed:
                raise NotYetError(f"chunks of {self.place.url} are not fetched any more")
            flight = self._flights.get(digest)
            if flight is None:
                # It may have landed since it was looked for; a flight ends only after it has its name.
                here = self._here(digest)
                flight = _Flight(index)
                if here is not None:
                    flight.landed.set_result(here)
                    return flight.landed
                self._flights[digest] = flight
                (self._asked if asked else self._ahead)[digest] = None
            elif asked and digest in self._ahead:
                del self._ahead[digest]
                self._asked[digest] = None
            self._wake.notify_all()
            return flight.landed

    def _most_ahead(self, places: _Places) -> int:
        # A quarter, or in a small cache what was fetched ahead would go before it is read.
        return max(1, min(AHEAD_BYTES, self.cache.limit // 4) // places.chunk_size)

    def _places_of(self, index: str) -> _Places | None:
        places = self._places.get(index)
        if places is None:
            try:
                places = _Places(self.cache.read_index(index))
            except StoreError:
                return None
            self._places[index] = places
            while len(self._places) > _INDEXES:
                self._places.popitem(last=False)
        return places

    def _work(self, link: UpstreamLink, *, ahead: bool) -> None:
        while (batch := self._batch(ahead=ahead)) is not None:
            left = OrderedDict.fromkeys(batch.digests)
            try:
                for digest, frame in link.chunks(batch.image, batch.digests):
                    self._found()
                    self._landed(digest, frame)
                    del left[digest]
            except GoneError as error:
                for digest in left:
                    text = f'image "{batch.image}" is no longer at {self.place.url}: {error}'
                    self._end(digest, GoneError(text))
            except BrokenOffError as error:
                self._broke_off(left, str(error))
            except LinkError as error:
                self._back(left)
                self._wait(str(error))
            except Exception:  # a fault of ours costs those who wait now, and no thread
                log.exception("chunks of %s", self.place.url)
                for digest in left:
                    self._end(digest, StoreError(f"chunk {digest} was not fetched: see the log"))
        link.close()

    def _batch(self, *, ahead: bool) -> _Batch | None:
        """Wait for something to fetch, of one image; None: no more."""
        with self._wake:
            while not self._closed:
                queue = self._asked or (self._ahead if ahead else self._asked)
                if queue:
                    # Few that wait are spread over the connections, so that none waits for the others.
                    count = min(BATCH, -(-len(queue) // CONNECTIONS))
                    return self._of_one_image(queue, count)
                self._wake.wait()
            return None

    def _of_one_image(self, queue: OrderedDict[str, None], most: int) -> _Batch:
        first = next(iter(queue))
        index = self._flights[first].index
        digests: list[str] = []
        while queue and len(digests) < most and self._flights[next(iter(queue))].index == index:
            digests.append(queue.popitem(last=False)[0])
        # One that is no longer offered has no name here; by its index there is none either.
        return _Batch(self._names.get(index, index), digests)

    def _landed(self, digest: str, frame: bytes | None) -> None:
        flight = self._flights.get(digest)
        if flight is None:
            return  # it was closed meanwhile
        if frame is None:
            self._end(digest, GoneError(f"chunk {digest} is no longer at {self.place.url}"))
            return
        try:
            path = self.cache.keep(digest, frame)
        except DamagedChunkError as error:
            flight.tries += 1
            if flight.tries < DAMAGED_TRIES:
                self._back(OrderedDict({digest: None}))
                return
            self._end(
                digest,
                DamagedUpstreamError(
                    f"{self.place.url} gave {flight.tries} times something else: {error}; "
                    "`hostler image verify` there tells what to do"
                ),
            )
        except (StoreError, OSError) as error:
            self._end(digest, error if isinstance(error, StoreError) else StoreError(str(error)))
        else:
            self._end(digest, path)

    def _end(self, digest: str, result: Path | StoreError) -> None:
        with self._wake:
            flight = self._flights.pop(digest, None)
            # It may be another flight than the one that landed: given up meanwhile, and asked for once more.
            self._asked.pop(digest, None)
            self._ahead.pop(digest, None)
        if flight is None:
            return
        if isinstance(result, StoreError):
            _fail(flight, result)
        elif not flight.landed.done():
            flight.landed.set_result(result)

    def _back(self, digests: OrderedDict[str, None]) -> None:
        """Have these asked for again, before all others."""
        with self._wake:
            for digest in reversed(digests):
                if digest in self._flights:
                    self._asked[digest] = None
                    self._asked.move_to_end(digest, last=False)

    def _broke_off(self, left: OrderedDict[str, None], reason: str) -> None:
        """Have what did not come asked for again: the chunk at which it broke off alone, and with a limit.

        It may be that chunk, and not the line; then others come well all the time, and only it must end.
        """
        if not left:
            return  # all had come
        (first, _), now = left.popitem(last=False), time.monotonic()
        self._back(left)
        flight = self._flights.get(first)
        if flight is None:
            return  # it was closed meanwhile
        flight.broken += 1
        flight.broken_since = flight.broken_since or now
        failing = now - flight.broken_since
        if flight.broken >= _BROKEN_TRIES and failing > self._give_up:
            self._end(first, UpstreamLostError(
                f"{self.place.url} broke off at chunk {first} {flight.broken} times in {failing:.0f} s: "
                f"{reason}; `hostler image verify` there tells more"
            ))  # fmt: skip
            return
        if flight.broken == 1:
            self._wait(reason)
        else:
            self._pause(_RETRY_SECONDS[min(flight.broken, len(_RETRY_SECONDS)) - 1])
        with self._wake:
            if first in self._flights:
                self._asked[first] = None
                self._wake.notify_all()

    def _found(self) -> None:
        if self._lost is None:
            return
        with self._wake:
            lost, self._lost = self._lost, None
        if lost is not None:
            log.info("%s gives chunks again after %.0f s", self.place.url, time.monotonic() - lost.since)

    def _wait(self, reason: str) -> None:
        """Take note that the line is lost; wait a moment, or have all who wait too long give up."""
        now = time.monotonic()
        given_up: list[_Flight] = []
        with self._wake:
            if self._closed:
                return
            if self._lost is None:
                self._lost = _Lost(now, reason)
                log.warning("%s gives no chunks: %s", self.place.url, reason)
            lost = self._lost
            lost.reason = reason
            lost.tries += 1
            for digest, flight in list(self._flights.items()):
                if now - max(flight.since, lost.since) > self._give_up:
                    given_up.append(self._flights.pop(digest))
                    self._asked.pop(digest, None)
                    self._ahead.pop(digest, None)
            delay = _RETRY_SECONDS[min(lost.tries // CONNECTIONS, len(_RETRY_SECONDS) - 1)]
        for flight in given_up:
            _fail(flight, UpstreamLostError(
                f"{self.place.url} could not be reached for {now - lost.since:.0f} s: {reason}"
            ))  # fmt: skip
        self._pause(delay)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with self._wake:
            while not self._closed and (left := end - time.monotonic()) > 0:
                self._wake.wait(left)


def _fail(flight: _Flight, error: StoreError) -> None:
    if not flight.landed.done():
        flight.landed.set_exception(error)


def _first_landed(waiting: OrderedDict[str, Future[Path]]) -> str:
    """Wait for the first of some chunks, and return its name; raises what became of it."""
    digest, landed = waiting.popitem(last=False)
    landed.result()
    return digest
