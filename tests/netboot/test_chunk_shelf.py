"""Chunks that are here, that come, and that never will: what boards and carousels are given."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hostler.netboot.chunk_shelf import TOLD_SECONDS, ChunkShelf, Elsewhere
from hostler.netboot.fetched import Fetched
from hostler.netboot.refused import Refused
from hostler.netboot.table import BootTable

if TYPE_CHECKING:
    from pathlib import Path

INDEX, CHUNK = "1" * 64, "c" * 64


def nothing() -> None:
    """Nobody is to be told that a carousel waits."""


class Home:
    """A supply that puts what it is asked for into the cache, or answers as it is told."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.answer = Fetched(200)
        self.asked: list[tuple[str, str, str]] = []
        self.reads: list[tuple[str, str, str]] = []

    async def fetch(self, index: str, chunk: str, board: str) -> Fetched:
        self.asked.append((index, chunk, board))
        if self.answer.here:
            path = self.cache / "chunks" / chunk[:2] / chunk if chunk else self.cache / "indexes" / index
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"bytes")
        return self.answer

    def read(self, index: str, chunk: str, board: str) -> None:
        self.reads.append((index, chunk, board))


class Shelf(ChunkShelf):
    """A shelf, what it said of boards, and a clock that is set."""

    def __init__(self, place: Path) -> None:
        self.home = Home(place / "cache")
        self.said: list[str] = []
        self.now = 100.0
        super().__init__(
            BootTable(), place / "store", Elsewhere(self.home.cache, self.home),
            lambda board, text: self.said.append(f"{board} {text}"), lambda: self.now,
        )  # fmt: skip


async def test_what_is_not_here_is_brought_once(tmp_path: Path) -> None:
    """The next board finds it in the cache; that is told, for what lies ahead and for what is kept."""
    shelf = Shelf(tmp_path)
    first = await shelf.chunk("b1", INDEX, CHUNK)
    assert await shelf.chunk("b2", INDEX, CHUNK) == first
    assert (await shelf.index("b1", INDEX)).read_bytes() == b"bytes"
    assert await shelf.index("b2", INDEX) == shelf.index_path(INDEX)
    assert shelf.home.asked == [(INDEX, CHUNK, "b1"), (INDEX, "", "b1")]
    assert shelf.home.reads == [(INDEX, CHUNK, "b2")]
    assert not shelf.said


async def test_an_own_chunk_asks_nobody(tmp_path: Path) -> None:
    """What is in the store is given from there."""
    shelf = Shelf(tmp_path)
    own = tmp_path / "store/chunks" / CHUNK[:2] / CHUNK
    own.parent.mkdir(parents=True)
    own.write_bytes(b"own")
    assert await shelf.chunk("b1", INDEX, CHUNK) == own
    assert await asyncio.to_thread(shelf.awaited, INDEX, CHUNK, "carousel", nothing) == own
    assert not shelf.home.asked
    assert not shelf.home.reads


async def test_a_board_that_waits_is_told_of_now_and_then(tmp_path: Path) -> None:
    """Once in a while, though it asks all the time; and that it goes on."""
    shelf = Shelf(tmp_path)
    shelf.home.answer = Fetched(503, "waits for chunks from https://hub: link lost 3 s ago")
    for _ in range(3):
        with pytest.raises(Refused, match="come again") as refused:
            await shelf.chunk("b1", INDEX, CHUNK)
        assert refused.value.status == 503
    assert shelf.said == ["b1 waits for chunks from https://hub: link lost 3 s ago"]
    shelf.now += TOLD_SECONDS
    with pytest.raises(Refused):
        await shelf.chunk("b1", INDEX, CHUNK)
    assert len(shelf.said) == 2
    shelf.home.answer = Fetched(200)
    await shelf.chunk("b1", INDEX, CHUNK)
    assert shelf.said[2:] == ["b1 goes on: what it waited for has come"]


async def test_what_will_not_come_ends_it(tmp_path: Path) -> None:
    """With the reason, which the agent takes for the run's."""
    shelf = Shelf(tmp_path)
    shelf.home.answer = Fetched(424, "https://hub could not be reached for 600 s")
    with pytest.raises(Refused, match="could not be reached for 600 s") as refused:
        await shelf.chunk("b1", INDEX, CHUNK)
    assert refused.value.status == 424
    assert shelf.said == ["b1 gets no more of its image: https://hub could not be reached for 600 s"]


async def test_a_carousel_waits_in_its_thread(tmp_path: Path) -> None:
    """It has a chunk when that has come; one that is late is no reason to end."""
    shelf = Shelf(tmp_path)
    with pytest.raises(OSError, match="not known"):
        await asyncio.to_thread(shelf.awaited, INDEX, CHUNK, "carousel", nothing)
    shelf.follow()
    path = await asyncio.to_thread(shelf.awaited, INDEX, CHUNK, "carousel", nothing)
    assert path.read_bytes() == b"bytes"
    await asyncio.to_thread(shelf.awaited, INDEX, CHUNK, "carousel", nothing)
    assert shelf.home.reads == [(INDEX, CHUNK, "carousel")]
    path.unlink()
    shelf.home.answer = Fetched(503, "waits")
    with pytest.raises(OSError, match="not here yet: waits"):
        await asyncio.to_thread(shelf.awaited, INDEX, CHUNK, "carousel", nothing)


async def test_a_carousel_says_that_it_waits(tmp_path: Path) -> None:
    """Its listeners would take it for gone; and whoever ends it need not wait for the chunk."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Late(Home):
        async def fetch(self, index: str, chunk: str, board: str) -> Fetched:
            await told.wait()
            return await super().fetch(index, chunk, board)

    late = Late(tmp_path / "cache")
    shelf = ChunkShelf(BootTable(), tmp_path / "store", Elsewhere(late.cache, late), lambda *_: None)
    shelf.follow()

    def tell() -> None:
        loop.call_soon_threadsafe(told.set)

    path = await asyncio.to_thread(shelf.awaited, INDEX, CHUNK, "carousel", tell)
    path.unlink()
    told.clear()

    def end() -> None:
        raise OSError("the carousel ends")

    with pytest.raises(OSError, match="the carousel ends"):
        await asyncio.to_thread(shelf.awaited, INDEX, CHUNK, "carousel", end)
