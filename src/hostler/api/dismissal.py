"""Ends a long connection when whoever opened it may not go on: shut out, token revoked, rights taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

DISMISSED = 4401
"""Close code of a WebSocket whose opener may not go on, like HTTP's 401."""
_REASON_BYTES = 120  # RFC 6455 section 5.5 leaves 123


async def serve_until(
    dismissed: Callable[[], Awaitable[str]], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve a connection; a WebSocket or an event stream only until ``dismissed`` says why it ends.

    Any other answer is given at once and needs no watching.
    """
    task = asyncio.current_task()
    assert task is not None
    watch: asyncio.Future[None] | None = None
    why = ""
    is_open = False

    async def look() -> None:
        nonlocal why
        why = await dismissed()
        task.cancel()

    async def sending(message: Message) -> None:
        nonlocal watch, is_open
        kind = message["type"]
        if kind == "websocket.accept" or (kind == "http.response.start" and _endless(message)):
            is_open = True
            watch = asyncio.ensure_future(look())
        elif kind == "websocket.close" or (kind == "http.response.body" and not message.get("more_body")):
            is_open = False
        await send(message)

    try:
        await app(scope, receive, sending)
        if why:
            await asyncio.sleep(0)  # takes the cancellation that came too late
    except asyncio.CancelledError:
        if not why or task.uncancel() > 0:
            raise
    finally:
        if watch is not None:
            watch.cancel()
    if why and is_open:
        await send(_end(scope, why))


def _endless(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message["headers"]
    )


def _end(scope: Scope, why: str) -> Message:
    if scope["type"] == "http":
        return {"type": "http.response.body", "body": b"", "more_body": False}
    reason = why.encode()[:_REASON_BYTES].decode(errors="ignore")
    return {"type": "websocket.close", "code": DISMISSED, "reason": reason}
