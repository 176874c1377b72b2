"""A mirror and an upstream that misbehaves: what is fetched how often, what is refused, and what it says."""

from __future__ import annotations

import errno
import hashlib
import http.server
import itertools
import os
import random
import re
import shutil
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from hostler.images.chunk_cache import ChunkCache
from hostler.images.chunk_frame import DamagedChunkError
from hostler.images.importer import import_image
from hostler.images.mirror import CONNECTIONS, DAMAGED_TRIES, Mirror
from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreError, StoreFullError
from hostler.images.upstream import Upstream as Followed
from hostler.images.upstream_errors import (
    DamagedUpstreamError,
    NotYetError,
    NoUpstreamError,
    UpstreamLostError,
)
from hostler.images.upstream_link import GoneError, LinkError, UpstreamPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GRID = 64 * 1024
CHUNKS = 40
SECONDS = 60
TOKEN = "hst_secret"


class Upstream:
    """A stand-in for another server: it gives what its store has, unless told otherwise."""

    def __init__(self, store: ImageStore, index: str) -> None:
        self.store = store
        self.index_id = index
        self.digests = store.index(index).distinct()
        self.given: Counter[str] = Counter()
        self.missing: set[str] = set()
        self.damaged: Counter[str] = Counter()
        self.status = 200
        self.breaking = ""
        self.asked: Counter[str] = Counter()
        self.hold = threading.Event()
        self.hold.set()
        self.url = ""

    def chunk(self, digest: str) -> bytes:
        """One chunk of an answer; an empty one breaks the answer off."""
        if digest == self.breaking:
            return b""
        self.given[digest] += 1
        if digest in self.missing:
            return struct.pack(">Q", 0)
        frame = self.store.chunk_path(digest).read_bytes()
        if self.damaged[digest] > 0:
            self.damaged[digest] -= 1
            frame = frame[:-8] + bytes(8)
        return struct.pack(">Q", len(frame)) + frame


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    (tmp_path / "disk").write_bytes(random.Random(3).randbytes(CHUNKS * GRID))
    store = ImageStore(tmp_path / "home")
    made = Upstream(store, import_image(tmp_path / "disk", store, chunk_size=GRID).index)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            made.asked[parts.path] += 1
            made.hold.wait(SECONDS)
            status, body, broken = made.status, b'{"detail": "not this time"}', False
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status = 401
            elif status == 200 and parts.path == "/api/v1/images/debian/index":
                body = store.artefact_path(made.index_id).read_bytes()
            elif status == 200 and parts.path == "/api/v1/images/debian/chunks":
                wanted = parse_qs(parts.query)["sha256"]
                whole = list(itertools.takewhile(bool, map(made.chunk, wanted)))
                body, broken = b"".join(whole), len(whole) < len(wanted)
            elif status == 200:
                status = 404
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + broken))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = broken

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            made.hold.set()
            server.shutdown()


@contextmanager
def mirror(
    upstream: Upstream,
    folder: Path,
    *,
    limit: int = 1 << 30,
    token: str = TOKEN,
    give_up: float = SECONDS,
) -> Iterator[Mirror]:
    made = Mirror(
        ChunkCache(folder / "cache", limit),
        ImageStore(folder / "own"),
        UpstreamPlace(upstream.url, token),
        {upstream.index_id: "debian"},
        give_up,
    )
    try:
        yield made
    finally:
        made.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_many_who_ask_have_one_flight(upstream: Upstream, tmp_path: Path) -> None:
    """Eight readers of a whole image: every chunk is asked for once, and each has it."""
    with mirror(upstream, tmp_path) as here:
        here.index(upstream.index_id).result(SECONDS)
        failed: list[BaseException] = []

        def read(reader: str) -> None:
            try:
                for digest in upstream.digests:
                    path = here.chunk(digest, upstream.index_id, reader).result(SECONDS)
                    assert path.read_bytes() == upstream.store.chunk_path(digest).read_bytes()
            except BaseException as error:
                failed.append(error)
                raise

        readers = [threading.Thread(target=read, args=(f"b{number}",)) for number in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(SECONDS)
        assert not failed
        assert upstream.given == dict.fromkeys(upstream.digests, 1)


def test_what_the_store_has_does_not_travel(upstream: Upstream, tmp_path: Path) -> None:
    """Chunks of an image of this server's own are taken from there."""
    with mirror(upstream, tmp_path) as here:
        half = (tmp_path / "disk").read_bytes()[: CHUNKS // 2 * GRID]
        (tmp_path / "half").write_bytes(half)
        import_image(tmp_path / "half", ImageStore(tmp_path / "own"), chunk_size=GRID)
        assert [*here.fetch_all(upstream.index_id)][-1] == (CHUNKS * GRID, CHUNKS * GRID)
        assert upstream.given == dict.fromkeys(upstream.digests[CHUNKS // 2 :], 1)


def test_a_damaged_chunk_is_asked_for_again(upstream: Upstream, tmp_path: Path) -> None:
    """Once damaged on the way it comes well; damaged at home it is refused, and never kept."""
    once, always = upstream.digests[3], upstream.digests[9]
    upstream.damaged[once], upstream.damaged[always] = 1, 1000
    with mirror(upstream, tmp_path) as here:
        assert here.chunk(once, upstream.index_id).result(SECONDS).exists()
        with pytest.raises(
            DamagedUpstreamError, match=f"{upstream.url} gave {DAMAGED_TRIES} times something else"
        ):
            here.chunk(always, upstream.index_id).result(SECONDS)
        assert not here.cache.chunk(always).exists()
        assert upstream.given[always] == DAMAGED_TRIES


def test_what_is_gone_at_home_is_told(upstream: Upstream, tmp_path: Path) -> None:
    """A chunk or an image that is there no more is an error at once, and so is an image nobody offers."""
    upstream.missing.add(upstream.digests[0])
    with mirror(upstream, tmp_path) as here:
        with pytest.raises(GoneError, match="is no longer at"):
            here.chunk(upstream.digests[0], upstream.index_id).result(SECONDS)
        with pytest.raises(NoUpstreamError, match="offers no image"):
            here.index("0" * 64).result(SECONDS)
        upstream.status = 404
        with pytest.raises(GoneError, match=r'image "debian" is no longer at .*not this time'):
            here.chunk(upstream.digests[1], upstream.index_id).result(SECONDS)
        with pytest.raises(GoneError, match='image "debian" is no longer at'):
            here.index(upstream.index_id).result(SECONDS)


def test_an_upstream_that_is_away_is_waited_for(upstream: Upstream, tmp_path: Path) -> None:
    """It is said since when and why; what was asked for comes when it is back, or fails after a deadline."""
    upstream.status = 503
    with mirror(upstream, tmp_path) as here:
        landing = here.chunk(upstream.digests[0], upstream.index_id)
        until(lambda: "link lost" in here.waiting())
        told = rf"chunks from {upstream.url}: link lost \d+ s ago \(it answered 503: not this time\)"
        assert re.fullmatch(told, here.waiting())
        with pytest.raises(NotYetError, match=r"index of image .debian. is not here yet, and .* 503"):
            here.index(upstream.index_id).result(SECONDS)
        upstream.status = 200
        assert landing.result(SECONDS).exists()
        assert here.waiting() == f"chunks from {upstream.url}"
    with (
        mirror(upstream, tmp_path / "other", token="hst_wrong", give_up=0.0) as refused,
        pytest.raises(UpstreamLostError, match=r"could not be reached for .*401"),
    ):
        refused.chunk(upstream.digests[1], upstream.index_id).result(SECONDS)


def test_what_lands_after_it_was_given_up_costs_no_thread(upstream: Upstream, tmp_path: Path) -> None:
    """An answer to a flight that was given up ends the one that is queued meanwhile, and nothing else."""
    upstream.hold.clear()
    with mirror(upstream, tmp_path) as here:
        busy = [here.chunk(digest, upstream.index_id) for digest in upstream.digests[:CONNECTIONS]]
        until(lambda: upstream.asked.total() == CONNECTIONS)
        queued = here.chunk(upstream.digests[CONNECTIONS], upstream.index_id)
        here._end(upstream.digests[CONNECTIONS], tmp_path)
        assert queued.result(SECONDS) == tmp_path
        upstream.hold.set()
        for one in busy:
            assert one.result(SECONDS).exists()
        for digest in upstream.digests:
            assert here.chunk(digest, upstream.index_id).result(SECONDS).exists()


def test_an_answer_that_breaks_at_one_chunk(
    upstream: Upstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its readers are told after the deadline, though others come well all the time; the log stays short."""
    upstream.breaking = upstream.digests[5]
    with mirror(upstream, tmp_path, give_up=0.5) as here:
        landing = [here.chunk(digest, upstream.index_id) for digest in upstream.digests]
        with pytest.raises(UpstreamLostError, match=f"broke off at chunk {upstream.breaking}"):
            landing.pop(5).result(SECONDS)
        for one in landing:
            assert one.result(SECONDS).exists()
    assert sum("gives no chunks" in record.message for record in caplog.records) <= 1


def test_an_index_is_asked_for_once(upstream: Upstream, tmp_path: Path) -> None:
    """However many want it: they share one answer, and nobody holds a thread meanwhile."""
    upstream.hold.clear()
    with mirror(upstream, tmp_path) as here:
        landing = [here.index(upstream.index_id) for _ in range(8)]
        assert len({id(one) for one in landing}) == 1
        upstream.hold.set()
        assert landing[0].result(SECONDS).exists()
        assert upstream.asked["/api/v1/images/debian/index"] == 1
        upstream.hold.clear()
        here.cache.drop_index(upstream.index_id)
        left = here.index(upstream.index_id)
    with pytest.raises(NotYetError, match="any more"):
        left.result(SECONDS)


def test_who_waits_is_told_when_the_upstream_is_given_up(upstream: Upstream, tmp_path: Path) -> None:
    """A mirror that is closed leaves nobody waiting."""
    upstream.hold.clear()
    with mirror(upstream, tmp_path) as here:
        landing = here.chunk(upstream.digests[0], upstream.index_id)
    with pytest.raises(NotYetError, match="not fetched any more"):
        landing.result(SECONDS)
    with pytest.raises(NotYetError):
        here.chunk(upstream.digests[1], upstream.index_id)
    with pytest.raises(LinkError):
        Mirror(
            here.cache, ImageStore(tmp_path / "own"), UpstreamPlace("http://127.0.0.1:9", "x"), {}
        ).images()


def test_the_cache_keeps_what_was_used_last(upstream: Upstream, tmp_path: Path) -> None:
    """It holds no more than its limit, and what was used lately outlasts what was not."""
    limit = 10 * (GRID + 100)
    with mirror(upstream, tmp_path, limit=limit) as here:
        first, index = upstream.digests[0], upstream.index_id
        for digest in upstream.digests:
            here.chunk(digest, index).result(SECONDS)
            here.chunk(first, index).result(SECONDS)
        assert here.cache.held <= limit
        assert sum(path.stat().st_size for path in (tmp_path / "cache/chunks").glob("*/*")) == here.cache.held
        assert upstream.given[first] == 1
        assert upstream.given == dict.fromkeys(upstream.digests, 1)
        here.chunk(upstream.digests[1], index).result(SECONDS)
        assert upstream.given[upstream.digests[1]] == 2


def test_nothing_false_has_a_name(upstream: Upstream, tmp_path: Path) -> None:
    """The cache refuses what is not what it is called, and mends an index that was damaged on its disk."""
    cache = ChunkCache(tmp_path / "cache", 1 << 30)
    with pytest.raises(DamagedChunkError):
        cache.keep(upstream.digests[0], upstream.store.chunk_path(upstream.digests[1]).read_bytes())
    with pytest.raises(StoreError, match="other bytes than its id says"):
        cache.keep_index(upstream.index_id, b"something else")
    junk = b"no index"
    with pytest.raises(StoreError, match="shorter than its header"):
        cache.keep_index(hashlib.sha256(junk).hexdigest(), junk)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_full_disk_costs_old_chunks_first(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk smaller than the limit, what was not used lately makes room; without any, it is said."""
    cache = ChunkCache(tmp_path / "cache", 1 << 30)
    frames = {digest: upstream.store.chunk_path(digest).read_bytes() for digest in upstream.digests}
    room = 10 * GRID

    def full(_descriptor: int) -> None:
        if sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) > room:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    for digest, frame in frames.items():
        assert cache.keep(digest, frame).exists()
    assert cache.held < room
    room = 0
    with pytest.raises(StoreFullError, match="no space left for the cache of images"):
        cache.keep(upstream.digests[0], frames[upstream.digests[0]])
    assert not list((tmp_path / "cache/tmp").iterdir())


def test_what_is_left_to_others_on_the_disk(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old chunks go before the disk is full: some of it is the lab's own; without any, it is said."""
    cache = ChunkCache(tmp_path / "cache", 1 << 30)
    total, others = 200 * GRID, 180 * GRID  # so 10 are to stay free, and 10 are the cache's

    def used(_path: object) -> tuple[int, int, int]:
        return shutil._ntuple_diskusage(total, 0, total - others - cache.held)  # type: ignore[attr-defined, no-any-return]

    monkeypatch.setattr(shutil, "disk_usage", used)
    for digest in upstream.digests:
        assert cache.keep(digest, upstream.store.chunk_path(digest).read_bytes()).exists()
        assert used("")[2] >= total // 20
    assert cache.held > 5 * GRID
    others = total
    with pytest.raises(StoreFullError, match="left to others"):
        cache.keep(upstream.digests[0], upstream.store.chunk_path(upstream.digests[0]).read_bytes())
    assert cache.held == 0


def test_an_upstream_that_is_not_settled_yet(upstream: Upstream, tmp_path: Path) -> None:
    """Boards that ask a server which has only begun are to ask again; without an upstream there is none."""
    followed = Followed(tmp_path / "cache", ImageStore(tmp_path / "own"))
    with pytest.raises(NotYetError):
        followed.chunk(upstream.digests[0], upstream.index_id)
    place, names = UpstreamPlace(upstream.url, TOKEN), {upstream.index_id: "debian"}
    followed.follow(place, 1 << 30, names)
    assert followed.chunk(upstream.digests[0], upstream.index_id).result(SECONDS).exists()
    upstream.hold.clear()
    landing = followed.chunk(upstream.digests[1], upstream.index_id)
    followed.follow(UpstreamPlace(upstream.url, TOKEN, None), 1 << 30, names)
    assert not landing.done(), "nothing has changed"
    followed.follow(None, 0, {})
    with pytest.raises(NotYetError):
        landing.result(SECONDS)
    with pytest.raises(NoUpstreamError, match=r"no .images. upstream in lab.toml"):
        followed.chunk(upstream.digests[1], upstream.index_id)
