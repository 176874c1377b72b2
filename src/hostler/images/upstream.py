"""The upstream of this server, if it has one: which may change while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images.chunk_cache import CachePaths, ChunkCache
from hostler.images.mirror import Mirror
from hostler.images.upstream_errors import NotYetError, NoUpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from hostler.images.store import ImageStore
    from hostler.images.upstream_link import UpstreamPlace


class Upstream:
    """What this server knows of its upstream; without one, nothing is there.

    Args:
        root: Directory of the cache; made when there is an upstream for the first time.
        store: This server's own images.
    """

    def __init__(self, root: Path, store: ImageStore) -> None:
        self.paths = CachePaths(root)
        self._store = store
        self._cache: ChunkCache | None = None
        self._mirror: Mirror | None = None
        self._settled = False

    def follow(self, place: UpstreamPlace | None, limit: int, names: Mapping[str, str]) -> None:
        """Have this upstream from now on, and a cache of so many bytes; nothing happens if it was so already.

        Until the first time whoever asks is told to ask again. Blocks while a large cache is looked at, once.

        Args:
            place: Where it is; None: there is none.
            limit: Bytes the cache may hold.
            names: See ``offers``.
        """
        self._settled = self._settled and self._mirror is not None and self._mirror.place == place
        if self._mirror is not None and not self._settled:
            self._mirror.close()
            self._mirror = None
        if place is not None:
            self._have(place, limit, names)
        self._settled = True

    def _have(self, place: UpstreamPlace, limit: int, names: Mapping[str, str]) -> None:
        if self._cache is None:
            self._cache = ChunkCache(self.paths.root, limit)
        if self._cache.limit != limit:
            self._cache.limit = limit
            self._cache.clear(limit)
        if self._mirror is None:
            self._mirror = Mirror(self._cache, self._store, place, names)

    def close(self) -> None:
        """Fetch nothing more."""
        if self._mirror is not None:
            self._mirror.close()

    def images(self) -> list[object]:
        """Return the documents of the upstream's images; raises LinkError, NoUpstreamError, NotYetError."""
        return self._following().images()

    def offers(self, names: Mapping[str, str]) -> None:
        """Take note of the ids of the indexes that may be asked for, and the names of their images."""
        if self._mirror is not None:
            self._mirror.offers(names)

    def index(self, artefact: str) -> Future[Path]:
        """Ask for an index; see ``UpstreamIndexes.index``. Raises NoUpstreamError, NotYetError."""
        return self._following().index(artefact)

    def chunk(self, digest: str, index: str, reader: str = "") -> Future[Path]:
        """Ask for a chunk; see ``Mirror.chunk``. Raises NoUpstreamError, NotYetError."""
        return self._following().chunk(digest, index, reader)

    def read(self, digest: str, index: str, reader: str) -> None:
        """Take note that somebody has a chunk; see ``Mirror.read``."""
        if self._mirror is not None:
            self._mirror.read(digest, index, reader)

    def fetch_all(self, index: str) -> Iterator[tuple[int, int]]:
        """Fetch a whole image; see ``Mirror.fetch_all``. Raises NoUpstreamError."""
        return self._following().fetch_all(index)

    def waiting(self) -> str:
        """Tell what who waits waits for."""
        return self._mirror.waiting() if self._mirror is not None else "an upstream, which is not set"

    @property
    def cache(self) -> ChunkCache | None:
        """The cache, once there was an upstream."""
        return self._cache

    def _following(self) -> Mirror:
        mirror = self._mirror
        if mirror is None and not self._settled:
            raise NotYetError("the upstream cannot be asked yet; the server's log says why, if it stays so")
        if mirror is None:
            raise NoUpstreamError("it is not here, and there is no [images] upstream in lab.toml")
        return mirror
