"""A site's boards install an image that is at home behind a line: what crosses it, and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostler.images.chunk_cache import ChunkCache
from upstream_line import MIB, SIZE, Boards, Home, at_home, cached, site, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.netns

HEADERS = 1.07
"""What TCP, IP, Ethernet, HTTP and the requests' answers add at most to the chunks of an image."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with at_home(tmp_path_factory.mktemp("home")) as made:
        yield made


def test_eight_boards_need_the_line_once(home: Home, tmp_path: Path) -> None:
    """Every chunk crosses once for eight boards that ask at once, and not at all for the next two."""
    with site(home, tmp_path, 8) as here:
        before = home.crossed()
        ended = Boards(home, here.index, tmp_path, 8).done()
        assert [one.get("sha256") for one in ended] == [home.sha256] * 8
        sent = home.crossed() - before
        assert SIZE <= sent <= SIZE * HEADERS
        assert len(cached(tmp_path)) == SIZE // MIB
        before = home.crossed()
        assert [one.get("sha256") for one in Boards(home, here.index, tmp_path, 2).done()] == [
            home.sha256
        ] * 2
        assert home.crossed() - before < MIB


def test_an_image_larger_than_the_cache(home: Home, tmp_path: Path) -> None:
    """Boards at different places of an image get it whole through a cache a third of its size."""
    with site(home, tmp_path, 4, cache=16 * MIB) as here:
        first = Boards(home, here.index, tmp_path, 2)
        until(lambda: len(cached(tmp_path)) > 8)
        assert [one.get("sha256") for one in first.done()] == [home.sha256] * 2
        ended = Boards(home, here.index, tmp_path, 4).done()
        assert [one.get("sha256") for one in ended] == [home.sha256] * 4
    cache = ChunkCache(tmp_path / "upstream", 16 * MIB)
    assert 0 < cache.held <= 16 * MIB
    assert cache.verify()[1] == []


def test_a_site_that_is_killed_goes_on(home: Home, tmp_path: Path) -> None:
    """Boards go on where they were, what was there does not come again, and nothing there is damaged."""
    before = home.crossed()
    with home.slowed("100mbit"):
        with site(home, tmp_path, 3) as here:
            boards = Boards(home, here.index, tmp_path, 3)
            until(lambda: len(cached(tmp_path)) > 8)
            here.process.kill()
            here.process.wait(30)
            cache = ChunkCache(tmp_path / "upstream", 1 << 30)
            whole, damaged = cache.verify()
            assert whole > 8
            assert damaged == []
        with site(home, tmp_path, 3):
            assert [one.get("sha256") for one in boards.done()] == [home.sha256] * 3
    # What was on its way on eight connections when it was killed comes again: eight chunks in part, and
    # what lay in buffers.
    assert home.crossed() - before <= SIZE * HEADERS + 16 * MIB
