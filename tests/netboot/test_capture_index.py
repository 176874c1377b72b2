"""The index of a capture at its door, which the agent asks as it does on boards."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import zstandard
from aiohttp import web

from hostler.agent.chunk_taker import RackTaker
from hostler.agent.console import Console
from hostler.agent.rack import BootConfig, Rack, RefusedError
from hostler.model.capture_spool import INDEX_FILE, spool_name
from hostler.model.chunkindex import ChunkIndex
from hostler.netboot.capture_door import MOST_NAMED, CaptureDoor
from hostler.netboot.refused import Refused
from hostler.netboot.table import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GRID = 4096
TARGET = Target("b1", "x86-bios", "amd64", (), boot="boot-1")


def digests(count: int) -> list[bytes]:
    """As many different digests."""
    return [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(count)]


@asynccontextmanager
async def served(
    store: Path, limit: int, seen: list[tuple[bool, int]] | None = None, answer_seconds: float = 60.0
) -> AsyncIterator[str]:
    """A door whose board captures a disk of so many bytes; yields its URL.

    ``seen`` takes of every answered request whether it had a body, and its status.
    """
    door = CaptureDoor(store, answer_seconds)
    params = {"limit": limit, "chunk_size": GRID}
    target = replace(TARGET, step={"run": "r-1", "step": 0, "kind": "capture", "params": params})

    async def answer(request: web.BaseRequest) -> web.Response:
        try:
            response = await door.handle(request, request.path.removeprefix("/agent/capture/"), target)
        except Refused as refused:
            response = web.Response(status=refused.status, text=str(refused))
        if seen is not None:
            seen.append((request.content_length != 0, response.status))
        return response

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        door.close()


def taker(url: str) -> RackTaker:
    """The agent's way to the door."""
    config = BootConfig(url, "", "b1", "boot-1")
    return RackTaker(Rack(config, Console(None), threading.Event()))


async def post(url: str, body: bytes) -> tuple[int, Any]:
    """Hand in an index, or ask for the last one; returns status and answer."""
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/agent/capture/index", data=body) as response,
    ):
        taken = response.status == HTTPStatus.OK
        return response.status, await response.json() if taken else await response.text()


async def test_what_an_index_lacks_is_neither_in_the_store_nor_in_the_spool(tmp_path: Path) -> None:
    """Of a large image some of it is named at a time, until nothing is lacking; the index is kept."""
    names = digests(MOST_NAMED + 500)
    size = GRID * len(names)
    index = ChunkIndex.build(size, GRID, enumerate(names))
    there, here = (names[0].hex(), names[1].hex())
    spool = tmp_path / "tmp" / spool_name("r-1", 0)
    stored = tmp_path / "chunks" / there[:2] / there
    stored.parent.mkdir(parents=True)
    stored.touch()
    async with served(tmp_path, size) as url:
        agent = taker(url)
        left = set(index.distinct()) - {there, here}
        await asyncio.to_thread(agent.lacking, [there])
        (spool / here).touch()
        for least in (MOST_NAMED, 498):
            lacking = set(await asyncio.to_thread(agent.take_index, index.encode()))
            assert len(lacking) == least
            assert lacking <= left
            left -= lacking
            for name in lacking:
                (spool / name).touch()
        assert not left
        assert await asyncio.to_thread(agent.take_index, index.encode()) == []
        assert (spool / INDEX_FILE).read_bytes() == index.encode()


async def test_an_index_is_asked_for_again_with_an_empty_body(tmp_path: Path) -> None:
    """So that a large one need not travel twice; of none, as after a restart, 409 has it handed in again."""
    index = ChunkIndex.build(GRID, GRID, enumerate(digests(1)))
    async with served(tmp_path, GRID) as url:
        assert (await post(url, b""))[0] == HTTPStatus.CONFLICT
        told = await post(url, index.encode())
        assert told == (HTTPStatus.OK, {"lacking": index.distinct()})
        assert await post(url, b"") == told
        assert (await post(url, b"no index"))[0] == HTTPStatus.BAD_REQUEST
        assert (await post(url, b""))[0] == HTTPStatus.CONFLICT


async def test_an_index_is_no_larger_than_that_of_the_disk(tmp_path: Path) -> None:
    """What no image of the disk can have is not even read; nor is one on another grid taken."""
    async with served(tmp_path, 4 * GRID) as url:
        status, why = await post(url, bytes(32 + 40 * 6))
        assert status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert why.endswith("no larger than the board's disk (16384 bytes) may have 232 bytes")
        other = ChunkIndex.build(4 * GRID, 2 * GRID, enumerate(digests(2)))
        with pytest.raises(RefusedError, match="chunks of 8192 bytes, not of 4096"):
            await asyncio.to_thread(taker(url).take_index, other.encode())


async def test_an_agent_waits_while_its_index_is_looked_through(tmp_path: Path) -> None:
    """It hands it in once and asks until there is an answer, which is never late for the agent's patience."""
    names = digests(20_000)
    index = ChunkIndex.build(GRID * len(names), GRID, enumerate(names))
    seen: list[tuple[bool, int]] = []
    async with served(tmp_path, index.size, seen, answer_seconds=0.0) as url:
        lacking = await asyncio.to_thread(taker(url).take_index, index.encode())
    assert len(lacking) == MOST_NAMED
    assert seen[0] == (True, HTTPStatus.ACCEPTED)
    assert seen[-1] == (False, HTTPStatus.OK)
    assert not any(handed_in for handed_in, _ in seen[1:])


async def test_a_disk_full_of_noise_has_room(tmp_path: Path) -> None:
    """Its frames are larger than the disk, by little; more is refused, also when the server was restarted."""
    noise = [hashlib.shake_256(bytes([number])).digest(1 << 20) for number in range(4)]
    frames = [(hashlib.sha256(one).hexdigest(), zstandard.ZstdCompressor().compress(one)) for one in noise]
    async with served(tmp_path, 2 << 20) as url:
        for digest, frame in frames[:2]:
            await asyncio.to_thread(taker(url).take_chunk, digest, frame)
        assert sum(len(frame) for _, frame in frames[:2]) > 2 << 20
        await asyncio.to_thread(taker(url).take_chunk, *frames[2])
    async with served(tmp_path, 2 << 20) as url:
        with pytest.raises(RefusedError, match="more than the board's disk can hold"):
            await asyncio.to_thread(taker(url).take_chunk, *frames[3])
