"""A board's console over WebSocket."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from hostler.hub.errors import Refusal, UnauthenticatedError
from hostler.hub.hub import Hub
from hostler.link.frames import LIMIT, FrameError, Unpacker, pack
from hostler.link.port import LinkError, Stream

router = APIRouter()

_CLOSE = {401: 4401, 403: 4403, 404: 4404, 409: 4409}
_CLOSE_OTHER = 4503
_CLOSE_BAD_MESSAGE = 1003
_REASON_BYTES = 120  # RFC 6455 section 5.5 leaves 123


@router.websocket("/boards/{name}/console")
async def console(socket: WebSocket, name: str, mode: Literal["write", "read"] = "read") -> None:
    """Carry a console: binary messages, first byte the channel (0 JSON, 1 bytes).

    A refusal is told by the close code (4401, 4403, 4404, 4409, 4503), which only an accepted socket has.
    """
    await socket.accept()
    hub: Hub = socket.app.state.hub
    try:
        caller = socket.scope["hostler.principal"]
        if caller is None:
            raise UnauthenticatedError("send your token as: Authorization: Bearer hst_…")
        stream = await hub.metal.console(caller, name, write=mode == "write")
    except Refusal as refusal:
        code = _CLOSE.get(refusal.status, _CLOSE_OTHER)
        await socket.close(code, refusal.detail.encode()[:_REASON_BYTES].decode(errors="ignore"))
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
        await socket.close(codes[0] if codes else 1011)
    for result in results:
        if isinstance(result, Exception):
            raise result


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
    except WebSocketDisconnect:
        return 1000
    except KeyError:
        return _CLOSE_BAD_MESSAGE  # a text message
    except LinkError:
        return 1001
