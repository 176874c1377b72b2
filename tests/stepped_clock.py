"""A clock that stands still while anything can run, and then jumps to the next sleeper."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


class SteppedClock:
    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + max(0.0, seconds), future))
        await future

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        for _ in range(10_000):
            for _ in range(200):  # everything that can run runs: whole chains of tasks waking each other
                await asyncio.sleep(0)
            if task.done():
                return task.result()
            waiting = [(when, future) for when, future in self._sleepers if not future.done()]
            assert waiting, "nothing sleeps and nothing is done: the work waits for ever"
            self._now, next_future = min(waiting, key=lambda pair: pair[0])
            self._sleepers = waiting
            next_future.set_result(None)
        raise AssertionError("never done")
