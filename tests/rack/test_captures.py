"""What an agent is answered while its capture is being stored."""

from __future__ import annotations

import asyncio
import random
import shutil
from http import HTTPStatus
from typing import TYPE_CHECKING

from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.capture_spool import INDEX_FILE, spool_name
from hostler.rack.captures import Captures

if TYPE_CHECKING:
    from pathlib import Path

DATA = 1 << 20


def spooled(place: Path, store: ImageStore) -> str:
    """Put a disk into the spool of run r-1 as netboot does; returns the id of its index."""
    disk = place / "disk"
    disk.write_bytes(random.Random(1).randbytes(DATA))
    other = ImageStore(place / "other")
    index = import_image(disk, other).index
    spool = store.tmp / spool_name("r-1", 0)
    spool.mkdir()
    for digest in other.index(index).distinct():
        shutil.copyfile(other.chunk_path(digest), spool / digest)
    shutil.copyfile(other.artefact_path(index), spool / INDEX_FILE)
    return index


async def test_a_capture_beyond_its_share_is_refused_with_words(tmp_path: Path) -> None:
    """The agent's failure is told with them; whoever asks again has it tried again."""
    store = ImageStore(tmp_path / "store")
    index = spooled(tmp_path, store)
    captures = Captures(store, lambda: {"r-1"})
    task = asyncio.create_task(captures.run())

    async def answer(most_data: int) -> HTTPStatus:
        async with asyncio.timeout(60):
            while True:
                status = captures.finish("r-1", 0, index, smaller=False, most_data=most_data)
                if status not in (HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE):
                    return status
                await asyncio.sleep(0.01)

    try:
        for _ in range(2):
            assert await answer(DATA - 1) == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            assert f"has {DATA} bytes of data, and {DATA - 1} were left" in captures.trouble("r-1", 0)
            assert captures.stored("r-1", 0) is None
        assert await answer(DATA) == HTTPStatus.NO_CONTENT
        assert captures.trouble("r-1", 0) == ""
        assert store.indexes() == [index]
    finally:
        task.cancel()
        await asyncio.wait({task})
