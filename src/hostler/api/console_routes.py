"""A board's console over WebSocket, and what it printed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Literal

from fastapi import APIRouter, Query, Response, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from starlette.websockets import WebSocketDisconnected, WebSocketState

from hostler.api.documents import iso
from hostler.api.gate import Caller, TheHub
from hostler.hub.duration import seconds
from hostler.hub.errors import InvalidError, Refusal, UnauthenticatedError
from hostler.hub.hub import Hub
from hostler.link.frames import LIMIT, FrameError, Unpacker, pack
from hostler.link.port import LinkError, Stream
from hostler.model.json import Document

router = APIRouter()

_CLOSE = {401: 4401, 403: 4403, 404: 4404, 409: 4409}
_CLOSE_OTHER = 4503
_CLOSE_BAD_MESSAGE = 1003
_MOST = 2**40
_UNIX_TIMES = 1e8  # three years of seconds: nobody means that long ago
_REASON_BYTES = 120  # RFC 6455 section 5.5 leaves 123


class MatchDocument(BaseModel):
    """A line that matched; ``boot`` None: said before the first boot."""

    time: str
    boot: int | None
    offset: int
    line: str


class MatchesDocument(BaseModel):
    """What a search found; ``complete`` false: there was more than time or room for."""

    matches: list[MatchDocument]
    complete: bool


@router.get("/boards/{name}/console/log", response_model=None, responses={200: {"model": MatchesDocument}})
async def get_console_log(
    hub: TheHub,
    caller: Caller,
    name: str,
    boot: int | None = Query(None, ge=1, le=_MOST),
    claim: str | None = Query(None, max_length=200),
    since: str | None = Query(None, max_length=40, description="Unix time, or so long ago: 10m"),
    tail: int | None = Query(None, ge=1, le=_MOST),
    search: str | None = Query(None, min_length=1, max_length=500, description="regular expression of RE2"),
    most: int | None = Query(None, ge=1, le=1000, description="how many matches at most"),
) -> Response | MatchesDocument:
    """Return what the console printed, for whoever held the board then: bytes, or the lines that match.

    The part is a boot's, a claim's, or everything since some time; without any of these the last boot's.
    """
    begin = None if since is None else _time(since)
    if search is not None:
        found = await hub.metal.search_console(
            caller, name, search, boot=boot, claim=claim, since=begin, most=most
        )
        return _matches(found)
    data = await hub.metal.console_log(caller, name, boot=boot, claim=claim, since=begin, tail=tail)
    return Response(data, media_type="application/octet-stream")


def _matches(found: Document) -> MatchesDocument:
    rows: Any = found["matches"]
    return MatchesDocument(
        matches=[MatchDocument(**{**row, "time": iso(row["time"])}) for row in rows],
        complete=bool(found["complete"]),
    )


def _time(since: str) -> float:
    """Read a Unix time, or a length of time up to now."""
    try:
        value = seconds(since)
    except ValueError as error:
        raise InvalidError(f'since "{since}": {error}, or a Unix time', kind="bad-time") from error
    return value if since.strip()[-1].isdigit() and value >= _UNIX_TIMES else time.time() - value


@router.websocket("/boards/{name}/console")
async def console(
    socket: WebSocket,
    name: str,
    mode: Literal["write", "read"] = "read",
    replay: bool = True,
    columns: int | None = Query(None, ge=1, le=1000),
    lines: int | None = Query(None, ge=1, le=1000),
) -> None:
    """Carry a console: binary messages, first byte the channel (0 JSON, 1 bytes).

    It begins with the screen as it stands, for a terminal of that size, unless ``replay`` is false. A refusal
    is told by the close code (4401, 4403, 4404, 4409, 4503), which only an accepted socket has.
    """
    await socket.accept()
    hub: Hub = socket.app.state.hub
    try:
        caller = socket.scope["hostler.principal"]
        if caller is None:
            raise UnauthenticatedError("send your token as: Authorization: Bearer hst_…")
        stream = await hub.metal.console(
            caller, name, write=mode == "write", replay=replay, columns=columns, lines=lines
        )
    except Refusal as refusal:
        code = _CLOSE.get(refusal.status, _CLOSE_OTHER)
        await _close(socket, code, refusal.detail.encode()[:_REASON_BYTES].decode(errors="ignore"))
        return
    try:
        await _bridge(socket, stream)
    finally:
        await stream.close()


async def _bridge(socket: WebSocket, stream: Stream) -> None:
    """Carry both ways until one side ends."""
    down = asyncio.ensure_future(_down(socket, stream))
    up = asyncio.ensure_future(_up(socket, stream))
    try:
        await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (down, up):
            task.cancel()
        results = await asyncio.gather(down, up, return_exceptions=True)
    codes = [result for result in results if isinstance(result, int)]
    if (
        socket.client_state is WebSocketState.CONNECTED
        and socket.application_state is WebSocketState.CONNECTED
    ):
        await _close(socket, codes[0] if codes else 1011)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _close(socket: WebSocket, code: int, reason: str = "") -> None:
    """Say why it ends, if the viewer has not gone away meanwhile."""
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.close(code, reason)


async def _down(socket: WebSocket, stream: Stream) -> int:
    """Rack to viewer; returns the code to close with."""
    unpacker = Unpacker()
    try:
        while data := await stream.read():
            for channel, payload in unpacker.feed(data):
                await socket.send_bytes(bytes((channel,)) + payload)
    except LinkError:
        return 1001
    except FrameError:
        return 1011
    except (WebSocketDisconnect, RuntimeError):
        return 1000  # the viewer went away while something was on its way to it
    return 1000


async def _up(socket: WebSocket, stream: Stream) -> int:
    """Viewer to rack; returns the code to close with."""
    try:
        while True:
            message = await socket.receive_bytes()
            if not message or message[0] not in (0, 1) or len(message) > LIMIT:
                return _CLOSE_BAD_MESSAGE
            await stream.write(pack(message[0], message[1:]))
    except (WebSocketDisconnect, WebSocketDisconnected):
        return 1000  # the second: what was on its way to the viewer found out that it went away
    except KeyError:
        return _CLOSE_BAD_MESSAGE  # a text message
    except LinkError:
        return 1001
