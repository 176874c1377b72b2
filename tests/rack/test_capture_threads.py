"""Captures that take long, and everybody else."""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import TYPE_CHECKING

from hostler.images.store import ImageStore
from hostler.model.capture_spool import INDEX_FILE, spool_name
from hostler.rack.captures import Captures
from simulated_rack import until

if TYPE_CHECKING:
    from pathlib import Path

MANY = 40  # more than the threads that everybody shares ever are


def writer(pipe: Path) -> int | None:
    """Open the other end of a pipe; None: nobody reads."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


async def test_captures_that_take_long_hold_up_nobody(tmp_path: Path) -> None:
    """However many wait to be stored, other work in threads goes on; and the rack ends with them waiting."""
    store = ImageStore(tmp_path / "store")
    pipes = []
    for number in range(MANY):
        spool = store.tmp / spool_name(f"r-{number}", 0)
        spool.mkdir()
        pipes.append(spool / INDEX_FILE)
        os.mkfifo(pipes[-1])  # whoever reads the index waits for whoever writes it
    captures = Captures(store, lambda: {f"r-{number}" for number in range(MANY)})
    running = asyncio.create_task(captures.run())
    open_ends: dict[Path, int] = {}
    try:
        await asyncio.sleep(0)
        for number in range(MANY):
            assert captures.finish(f"r-{number}", 0, "0" * 64, smaller=False) == HTTPStatus.ACCEPTED

        def held() -> bool:
            for pipe in {*pipes[:2]} - open_ends.keys():
                if (end := writer(pipe)) is not None:
                    open_ends[pipe] = end
            return len(open_ends) == 2

        await until(held, 60)
        assert await asyncio.wait_for(asyncio.to_thread(sum, [1, 2]), 60) == 3
        assert all(writer(pipe) is None for pipe in pipes[2:])
        running.cancel()
        await asyncio.wait_for(asyncio.wait({running}), 60)
        assert running.cancelled()
        assert captures.finish("r-new", 0, "0" * 64, smaller=False) == HTTPStatus.SERVICE_UNAVAILABLE
    finally:
        running.cancel()
        for end in open_ends.values():
            os.close(end)  # the index ends here, and so does the thread
