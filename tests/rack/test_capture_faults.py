"""Captures that bring out a fault in what stores them, or that hold nonsense."""

from __future__ import annotations

import asyncio
import shutil
import struct
import zlib
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from disk_files import Part, disk_of
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.capture_spool import INDEX_FILE, spool_name
from hostler.rack.captures import Captures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_ENTRIES = 1024  # where the first entry of a GPT lies


def hostile_disk(path: Path, first: int, last: int) -> Path:
    """Make a disk whose one partition has these LBAs; all its checksums are right."""
    disk_of(path, 8, [Part(4)])
    content = bytearray(path.read_bytes())
    content[_ENTRIES + 32 : _ENTRIES + 48] = struct.pack("<QQ", first, last)
    count, size = struct.unpack_from("<II", content, 512 + 80)
    struct.pack_into("<I", content, 512 + 88, zlib.crc32(content[_ENTRIES : _ENTRIES + count * size]))
    struct.pack_into("<I", content, 512 + 16, 0)
    struct.pack_into("<I", content, 512 + 16, zlib.crc32(content[512 : 512 + 92]))
    path.write_bytes(content)
    return path


@asynccontextmanager
async def storing(store: ImageStore) -> AsyncIterator[Captures]:
    """What stores captures, at work."""
    captures = Captures(store, lambda: {"r-1"})
    task = asyncio.create_task(captures.run())
    await asyncio.sleep(0)
    try:
        yield captures
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def answer(captures: Captures, run: str, index: str, *, smaller: bool) -> HTTPStatus:
    """Ask as agents do until it is stored or will not be."""
    async with asyncio.timeout(120):
        while (status := captures.finish(run, 0, index, smaller=smaller)) == HTTPStatus.ACCEPTED:
            await asyncio.sleep(0.01)
    return status


async def test_a_fault_of_ours_costs_one_capture(tmp_path: Path) -> None:
    """Its agent is told so for good and why is kept; the server goes on and stores the next ones."""
    store = ImageStore(tmp_path / "store")
    async with storing(store) as captures:
        for _ in range(2):
            status = await answer(captures, "../r-1", "0" * 64, smaller=False)
            assert status == HTTPStatus.UNPROCESSABLE_ENTITY
        assert "ValueError: '../r-1' is no run's id" in captures.trouble("../r-1", 0)
        assert await answer(captures, "r-1", "0" * 64, smaller=False) == HTTPStatus.CONFLICT
        why = captures.trouble("r-1", 0)
        assert "index of the capture is not there" in why
        assert captures.finish("r-1", 0, "1" * 64, smaller=False) == HTTPStatus.ACCEPTED
        assert captures.trouble("r-1", 0) == why  # until it succeeds, or fails for another reason


@pytest.mark.parametrize(("first", "last"), [(1 << 60, (1 << 60) + 100), (2048, 1 << 60), (1 << 53, 1 << 54)])
async def test_a_disk_with_a_nonsensical_table_is_stored_as_it_is(
    tmp_path: Path, first: int, last: int
) -> None:
    """Nobody can make it smaller, and why is noted."""
    other, store = ImageStore(tmp_path / "other"), ImageStore(tmp_path / "store")
    index = import_image(hostile_disk(tmp_path / "disk", first, last), other).index
    spool = store.tmp / spool_name("r-1", 0)
    spool.mkdir()
    for digest in other.index(index).distinct():
        shutil.copyfile(other.chunk_path(digest), spool / digest)
    shutil.copyfile(other.artefact_path(index), spool / INDEX_FILE)
    async with storing(store) as captures:
        assert await answer(captures, "r-1", index, smaller=True) == HTTPStatus.NO_CONTENT
        stored = captures.stored("r-1", 0)
    assert stored is not None
    assert stored["index"] == index
    assert stored["shrink_note"]
