"""The hub's upstream in the rack's own cache: one host, one copy. See ``store_files``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images.importer import ImportProgress
from hostler.images.upstream_errors import NotYetError, NoUpstreamError
from hostler.images.upstream_link import GoneError, LinkError, UpstreamPlace
from hostler.model.stored_images import FaultKind, StoreFault, Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from hostler.hub.images import Progress
    from hostler.hub.upstream import UpstreamTerms
    from hostler.images.upstream import Upstream


class FollowedUpstream:
    """What ``hub.upstream.UpstreamFiles`` asks for, done by the mirror of an upstream.

    Args:
        upstream: Where it is, and what is here of it.
    """

    unreachable: tuple[type[Exception], ...] = (LinkError, GoneError, NoUpstreamError, NotYetError)

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def follow(self, terms: UpstreamTerms | None, names: Mapping[str, str]) -> None:
        """Have this upstream from now on."""
        if terms is None:
            self._upstream.follow(None, 0, {})
        else:
            self._upstream.follow(UpstreamPlace(terms.url, terms.token, terms.ca), terms.cache, names)

    def offered(self) -> list[object]:
        """Return the documents of its images."""
        return self._upstream.images()

    def offers(self, names: Mapping[str, str]) -> None:
        """Take note of which images may be deployed here."""
        self._upstream.offers(names)

    def bring_index(self, index: str) -> Future[Path]:
        """Ask for an index."""
        return self._upstream.index(index)

    def fetch(self, index: str, progress: Callable[[Progress], None]) -> None:
        """Fetch all of an image; told are plain bytes."""
        for here, total in self._upstream.fetch_all(index):
            progress(ImportProgress(here, total, here))

    def verify_cache(self, progress: Callable[[Progress], None]) -> Verified:
        """Look through what is kept here."""
        cache = self._upstream.cache
        if cache is None:
            return Verified(0, 0, 0, ())
        read, total = 0, cache.held

        def seen(size: int) -> None:
            nonlocal read
            read += size
            progress(ImportProgress(read, total, 0))

        whole, damaged = cache.verify(seen)
        faults = tuple(StoreFault(FaultKind.DAMAGED, digest, (), chunk=True) for digest in damaged)
        return Verified(whole, 0, read, faults)
