"""The tunnel: ssh connections carried by a WebSocket, so that only the HTTPS port need be public."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from hostler.gateway.limits import BusyError
from hostler.wire.tunnel import LARGEST, Asked, Closed, Credit, Data, Ended, Tunnel, TunnelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.gateway.line import Line

log = logging.getLogger(__name__)

TARGET = "ssh"
_BAD_MESSAGE, _IDLE, _GONE = 1003, 1000, 1001


class TunnelServer:
    """One WebSocket and the ssh connections on it.

    Args:
        socket: An accepted WebSocket.
        serve: Serves one ssh connection until it is over; raises BusyError before it has begun.
        idle: Seconds the WebSocket may be open without a stream.
    """

    def __init__(self, socket: WebSocket, serve: Callable[[Line], Awaitable[None]], idle: float) -> None:
        self._socket = socket
        self._serve = serve
        self._idle = idle
        self._tunnel = Tunnel()
        self._lines: dict[int, _ChannelLine] = {}
        self._sending = asyncio.Lock()  # messages leave in the order the tunnel made them

    async def run(self) -> None:
        """Serve until the client goes, or carries nothing for a while."""
        code = _GONE
        try:
            async with asyncio.TaskGroup() as tasks:
                code = await self._hear(tasks)
                for line in self._lines.values():
                    line.closed()
        finally:
            if self._socket.application_state is WebSocketState.CONNECTED:
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await self._socket.close(code)

    async def _hear(self, tasks: asyncio.TaskGroup) -> int:
        """Take messages until the end; returns the code to close with."""
        while True:
            try:
                events, replies = self._tunnel.receive(await self._message())
                for reply in replies:
                    await self._send(reply)
            except WebSocketDisconnect:
                return _GONE
            except TimeoutError:
                return _IDLE
            except (TunnelError, KeyError):  # KeyError: a text message
                return _BAD_MESSAGE
            for event in events:
                match event:
                    case Asked(target):
                        tasks.create_task(self._stream(target))
                    case Data(channel, data) if channel in self._lines:
                        self._lines[channel].arrived(data)
                    case Ended(channel) if channel in self._lines:
                        self._lines[channel].ended()
                    case Closed(channel, _) if channel in self._lines:
                        self._lines[channel].closed()
                    case Credit(channel) if channel in self._lines:
                        self._lines[channel].credited()

    async def _message(self) -> bytes:
        """Return the next message; raises TimeoutError for who is silent and has no stream open.

        Such a one is nobody we know, also when it had a stream before.
        """
        receiving = asyncio.ensure_future(self._socket.receive_bytes())
        try:
            while True:
                streams = self._tunnel.channels
                await asyncio.wait((receiving,), timeout=self._idle)
                if receiving.done():
                    return receiving.result()
                if not streams and not self._tunnel.channels:
                    raise TimeoutError
        finally:
            receiving.cancel()

    async def _stream(self, target: str) -> None:
        if target != TARGET:
            await self._send(self._tunnel.refuse(f'there is nothing called "{target[:32]}"; open "{TARGET}"'))
            return
        channel, message = self._tunnel.accept()
        line = self._lines[channel] = _ChannelLine(channel, self._tunnel, self._send)
        reason = ""
        try:
            await self._send(message)
            await self._serve(line)
        except BusyError as error:
            reason = str(error)
        except Exception:
            log.exception("an ssh connection fell over")
            reason = "the server made a mistake; its log tells which"
        finally:
            del self._lines[channel]
            closing = self._tunnel.close(channel, reason)
            if closing is not None:
                await self._send(closing)

    async def _send(self, message: bytes | None) -> None:
        if message is None:
            return
        async with self._sending:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the client has gone: reading tells
                await self._socket.send_bytes(message)


class _ChannelLine:
    """A line on one channel of the tunnel; see ``gateway.line.Line``."""

    def __init__(self, channel: int, tunnel: Tunnel, send: Callable[[bytes | None], Awaitable[None]]) -> None:
        self._channel = channel
        self._tunnel = tunnel
        self._send = send
        self._parts: deque[bytes] = deque()  # at most a window of them: the tunnel sees to that
        self._over = False
        self._closed = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    def arrived(self, data: bytes) -> None:
        self._parts.append(data)
        self._changed.set()

    def ended(self) -> None:
        self._over = True
        self._changed.set()

    def closed(self) -> None:
        self._closed = True
        self.ended()
        self._room.set()

    def credited(self) -> None:
        self._room.set()

    async def read(self) -> bytes:
        while not self._parts and not self._over:
            self._changed.clear()
            await self._changed.wait()
        if self._closed or not self._parts:
            return b""
        data = self._parts.popleft()
        await self._send(self._tunnel.consumed(self._channel, len(data)))
        return data

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._closed:
                raise ConnectionResetError("the client has closed the stream")
            count = min(self._tunnel.credit(self._channel), LARGEST, len(view))
            if not count:
                self._room.clear()
                await self._room.wait()
                continue
            await self._send(self._tunnel.data(self._channel, bytes(view[:count])))
            view = view[count:]

    async def end(self) -> None:
        if not self._closed:
            await self._send(self._tunnel.end(self._channel))
