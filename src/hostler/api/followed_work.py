"""Long work on images as one answer: a line of JSON for each piece of progress, then one for how it ended.

The work ends when whoever asked for it goes away.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Response

from hostler.api.problems import problem
from hostler.hub.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from hostler.hub.images import Progress

T = TypeVar("T")

MEDIA_TYPE = "application/x-ndjson"


class FollowedWork(Response):
    """Does the work while the answer is being sent.

    Args:
        work: Is given what to call with progress, from any thread.
        result: Makes the last line of what the work returns; ``event`` is added.
    """

    def __init__(
        self,
        work: Callable[[Callable[[Progress], None]], Awaitable[T]],
        result: Callable[[T], dict[str, Any]],
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._work = work
        self._result = result

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Answer."""
        await follow(self._work, self._result, receive, send)


class _GoneError(Exception):
    """Whoever asked is no longer there."""


async def follow(
    work: Callable[[Callable[[Progress], None]], Awaitable[T]],
    result: Callable[[T], dict[str, Any]],
    receive: Receive,
    send: Send,
) -> None:
    """Send the answer: a line for each piece of progress, then one for how it ended."""
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    follower = _Follower()
    doing = asyncio.ensure_future(work(follower.progress))
    watch = asyncio.ensure_future(until_gone(receive, follower.gone.set))
    try:
        while not doing.done():
            if (line := await follower.next_line(doing)) is not None:
                await send({"type": "http.response.body", "body": _line(line), "more_body": True})
        last = _outcome(doing, result)
        if last is not None:
            await send({"type": "http.response.body", "body": _line(last), "more_body": False})
    finally:
        follower.gone.set()
        watch.cancel()
        await asyncio.gather(doing, watch, return_exceptions=True)


def _outcome(doing: asyncio.Future[T], result: Callable[[T], dict[str, Any]]) -> dict[str, Any] | None:
    error = doing.exception()
    if error is None:
        return {"event": "done", **result(doing.result())}
    if isinstance(error, Refusal):
        return {"event": "error", "problem": problem(error)}
    if isinstance(error, _GoneError):
        return None
    raise error


class _Follower:
    """Hands progress from the working thread to the loop; only the newest counts."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._newest: Progress | None = None
        self._news = asyncio.Event()

    def progress(self, progress: Progress) -> None:
        """Take news; ends the work when nobody wants it any more."""
        if self.gone.is_set():
            raise _GoneError
        self._newest = progress
        self._loop.call_soon_threadsafe(self._news.set)

    async def next_line(self, doing: asyncio.Future[Any]) -> dict[str, Any] | None:
        """Wait for news or the end of the work."""
        news = asyncio.ensure_future(self._news.wait())
        await asyncio.wait((news, doing), return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        self._news.clear()
        newest, self._newest = self._newest, None
        if newest is None:
            return None
        return {"event": "progress", "read": newest.read, "of": newest.total, "out": newest.written}


async def until_gone(receive: Receive, tell: Callable[[], None]) -> None:
    """Wait until whoever asked goes away, then tell."""
    while (await receive())["type"] != "http.disconnect":
        pass
    tell()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
