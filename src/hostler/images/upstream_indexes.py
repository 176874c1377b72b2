"""The catalogue of the upstream and the indexes of its images: one line, and each index asked for once.

Who waits holds no thread: a line that swallows everything costs one thread, however many boards ask.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from hostler.images.store_errors import StoreError
from hostler.images.upstream_errors import NotYetError, NoUpstreamError, UpstreamLostError
from hostler.images.upstream_link import GoneError, LinkError, UpstreamLink, UpstreamPlace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.images.chunk_cache import ChunkCache

log = logging.getLogger(__name__)

_FORGOTTEN_SECONDS = 60.0
"""Who waits for an index asks more often than this; what is asked for later begins to wait anew."""
_JUST_LOST_SECONDS = 2.0
"""What is asked for so soon after a failure would only wait for the same."""


class UpstreamIndexes:
    """Safe to use from many threads.

    Args:
        cache: Where indexes are kept.
        place: The upstream.
        name_of: Returns by which name an index is fetched; None: it is not offered.
        give_up: Seconds for which a lost line is waited for.
    """

    def __init__(
        self, cache: ChunkCache, place: UpstreamPlace, name_of: Callable[[str], str | None], give_up: float
    ) -> None:
        self._cache = cache
        self._place = place
        self._name_of = name_of
        self._give_up = give_up
        self._link = UpstreamLink(place)
        self._link_lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "upstream-index")
        self._lock = threading.Lock()
        self._flights: dict[str, Future[Path]] = {}
        self._closed = False
        self._asked_for: dict[str, tuple[float, float]] = {}  # since when, when last
        self._lost: tuple[float, str] | None = None  # when, why

    def close(self) -> None:
        """Fetch nothing more; whoever waits is told."""
        with self._lock:
            self._closed = True
            flights, self._flights = self._flights, {}
        for landed in flights.values():
            if landed.set_running_or_notify_cancel():
                landed.set_exception(self._over())
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._link.abort()

    def images(self) -> list[object]:
        """Return the documents of the upstream's images; raises LinkError."""
        with self._link_lock:
            return self._link.images()

    def index(self, artefact: str) -> Future[Path]:
        """Ask for an index; the future gives where it is, or raises. It must not be cancelled.

        Raises (by the future):
            NoUpstreamError: the upstream offers no such image.
            NotYetError: the line is lost, or the upstream is another one now.
            UpstreamLostError: it was lost for too long.
            GoneError: the image is no longer there.
            StoreError: its bytes are other ones, or cannot be kept.
        """
        path = self._cache.index(artefact)
        with self._lock:
            if (flight := self._flights.get(artefact)) is not None:
                return flight
            landed: Future[Path] = Future()
            if path.is_file():
                landed.set_result(path)
            elif self._closed:
                landed.set_exception(self._over())
            else:
                self._flights[artefact] = landed
                self._thread.submit(self._fetch, artefact)
            return landed

    def _fetch(self, artefact: str) -> None:
        found: Path | None = None
        fault: StoreError | None = None
        try:
            found = self._fetched(artefact)
        except StoreError as error:
            fault = error
        except OSError as error:
            fault = StoreError(f"the index {artefact} cannot be kept: {error}")
        except Exception:  # a fault of ours must leave nobody waiting
            log.exception("the index %s of %s", artefact, self._place.url)
            fault = StoreError(f"the index {artefact} was not fetched: see the log")
        with self._lock:
            landed = self._flights.pop(artefact, None)
        if landed is None:
            return  # it was closed meanwhile
        if fault is not None:
            landed.set_exception(fault)
        elif found is not None:
            landed.set_result(found)

    def _fetched(self, artefact: str) -> Path:
        name = self._name_of(artefact)
        if name is None:
            raise NoUpstreamError(f"{self._place.url} offers no image with the index {artefact}")
        if self._lost is not None and time.monotonic() - self._lost[0] < _JUST_LOST_SECONDS:
            raise self._late(artefact, name, self._lost[1])
        try:
            with self._link_lock:
                data = self._link.index(name)
        except GoneError as error:
            raise GoneError(f'image "{name}" is no longer at {self._place.url}: {error}') from error
        except LinkError as error:
            self._lost = (time.monotonic(), str(error))
            raise self._late(artefact, name, str(error)) from error
        self._lost = None
        self._asked_for.pop(artefact, None)
        return self._cache.keep_index(artefact, data)

    def _late(self, artefact: str, name: str, reason: str) -> StoreError:
        """Return what is said of an index that cannot be had now."""
        now = time.monotonic()
        asked, last = self._asked_for.get(artefact, (now, now))
        if now - last > _FORGOTTEN_SECONDS:
            asked = now
        self._asked_for[artefact] = (asked, now)
        text = f'the index of image "{name}" is not here yet, and {self._place.url} cannot be reached'
        if now - asked > self._give_up:
            return UpstreamLostError(f"{text} for {now - asked:.0f} s: {reason}")
        return NotYetError(f"{text}: {reason}")

    def _over(self) -> StoreError:
        return NotYetError(f"nothing is fetched from {self._place.url} any more")
