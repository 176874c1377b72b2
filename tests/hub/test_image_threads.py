"""Work on images that takes long, and everybody else."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hostler.hub import image_shrinking
from hostler.hub.errors import ConflictError, UnavailableError
from hostler.hub.image_desk import ImageTerms
from hostler.hub.records import HUB
from simulated_rack import running, until

if TYPE_CHECKING:
    from pathlib import Path

    from simulated_rack import Lab

MANY = 40  # more than the threads that everybody shares ever are
MIB = 1 << 20


class GoneError(Exception):
    """Nobody waits any more."""


async def disk_image(lab: Lab, place: Path) -> None:
    """Import an image called ``disk``."""
    source = place / "disk.raw"
    source.write_bytes(random.Random(1).randbytes(2 * MIB))
    terms = ImageTerms("disk", "amd64")
    with lab.hub.images.reserve(HUB, terms):
        await lab.hub.images.take(HUB, terms, source, "disk.raw", lambda _: None)


async def test_work_that_takes_long_holds_up_nobody(tmp_path: Path):
    """However much of it waits, other work in threads goes on, and what takes moments at the desk too."""
    async with running(tmp_path) as lab:
        desk, go_on = lab.hub.images, threading.Event()
        works = [asyncio.ensure_future(desk.at_length(lambda: go_on.wait(120))) for _ in range(MANY)]
        try:
            assert await asyncio.wait_for(asyncio.to_thread(sum, [1, 2]), 60) == 3
            assert await asyncio.wait_for(desk.in_thread(lambda: 7), 60) == 7
            assert not any(work.done() for work in works)
        finally:
            go_on.set()
            assert await asyncio.gather(*works) == [True] * MANY


async def test_a_third_shrink_is_told_to_wait(tmp_path: Path):
    """Two at once, and another one when one of them has ended."""
    async with running(tmp_path) as lab:
        await disk_image(lab, tmp_path)
        begun, go_on = [], threading.Event()

        def progress(now: Any) -> None:
            begun.append(now)
            go_on.wait(120)
            raise GoneError

        def shrink(new: str) -> asyncio.Task[Any]:
            return asyncio.ensure_future(image_shrinking.shrink(lab.hub, HUB, "disk", new, progress))

        two = [shrink("small-1"), shrink("small-2")]
        try:
            await until(lambda: len(begun) == 2, 60)
            with pytest.raises(ConflictError, match=r"2 images are being shrunk at this moment.*wait"):
                await shrink("small-3")
            with pytest.raises(ConflictError, match="wait"):
                image_shrinking.check(lab.hub, HUB, "disk", "small-3")
        finally:
            go_on.set()
            ended = await asyncio.gather(*two, return_exceptions=True)
        assert list(map(type, ended)) == [GoneError, GoneError]
        image_shrinking.check(lab.hub, HUB, "disk", "small-3")


async def test_long_work_ends_with_the_hub(tmp_path: Path):
    """At its next word of progress; what has not begun never does, and nothing more is taken on."""
    ended, begun, stopped = threading.Event(), threading.Event(), threading.Event()
    async with running(tmp_path) as lab:
        desk = lab.hub.images
        heeded = desk.heeding(lambda _: begun.set())

        def work() -> None:
            try:
                while not stopped.wait(0.01):
                    heeded(None)  # type: ignore[arg-type]
            except UnavailableError:
                ended.set()
                raise

        task = asyncio.ensure_future(desk.at_length(work))
        await asyncio.to_thread(begun.wait, 60)
    try:
        with pytest.raises(UnavailableError, match="is being stopped"):
            await asyncio.wait_for(task, 60)
        assert ended.is_set()
        with pytest.raises(UnavailableError, match="is being stopped"):
            await desk.at_length(lambda: 1)
    finally:
        stopped.set()
