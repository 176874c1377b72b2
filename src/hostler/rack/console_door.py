"""How people reach a board's console through the link: bytes both ways, and a few words about them."""

from __future__ import annotations

import asyncio
import base64
import json
from functools import partial
from typing import TYPE_CHECKING

from hostler.consoles.broker import ConsoleDownError, Writer, WriterTakenError
from hostler.link.frames import BYTES, COMMAND, FrameError, Unpacker, pack
from hostler.link.port import LinkError, RequestRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.consoles.ring import Viewer
    from hostler.link.port import Stream
    from hostler.model.json import Document
    from hostler.rack.console import RackConsole

_LOG_LIMIT = 16 << 20
"""Most bytes of a log handed out at once; whoever wants older ones asks for them."""


class _Session:
    """One viewer joined to a console."""

    def __init__(self, console: RackConsole, viewer: Viewer, stream: Stream, who: str) -> None:
        self._console = console
        self._viewer = viewer
        self._stream = stream
        self._who = who
        self._writer: Writer | None = None

    def take(self, *, steal: bool) -> bool:
        """Take the right to type; False when somebody else has it."""
        try:
            self._writer = self._console.broker.take(self._who, steal=steal)
        except WriterTakenError:
            return False
        return True

    def release(self) -> None:
        if self._writer is not None:
            self._writer.release()

    async def tell(self, **words: object) -> None:
        await self._stream.write(pack(COMMAND, json.dumps(words).encode()))

    async def show(self) -> None:
        """Send what the console says until the viewer leaves."""
        while data := await self._viewer.read():
            await self._stream.write(pack(BYTES, data))

    async def hear(self) -> None:
        """Type what the viewer types, and do as it commands, until it leaves."""
        unpacker = Unpacker()
        while data := await self._stream.read():
            for channel, payload in unpacker.feed(data):
                if channel == BYTES:
                    await self._as_writer(partial(Writer.write, data=payload))
                elif channel == COMMAND:
                    await self._command(payload)

    async def _as_writer(self, action: Callable[[Writer], Awaitable[None]]) -> None:
        if self._writer is None:
            await self.tell(event="refused", text="you are only reading; take the console to type")
            return
        try:
            await action(self._writer)
        except WriterTakenError as error:
            self._writer = None
            await self.tell(event="taken", text=str(error))
        except ConsoleDownError as error:
            await self.tell(event="refused", text=str(error))

    async def _command(self, payload: bytes) -> None:
        try:
            command = json.loads(payload).get("cmd")
        except (ValueError, AttributeError):
            command = None
        if command == "take":
            self.take(steal=True)
            await self.tell(event="writer", writer=True)
        elif command == "break":
            await self._as_writer(Writer.send_break)
        else:
            await self.tell(event="refused", text='the commands are: {"cmd": "take"} and {"cmd": "break"}')


async def serve_console(
    console: RackConsole | None, began: float | None, body: Document, stream: Stream
) -> None:
    """Join a viewer and the console until either leaves.

    Args:
        console: The board's console, or None.
        began: Unix time the board's present boot began.
        body: ``mode`` (``write`` or ``read``), ``principal``, ``since`` (unix time or null).
        stream: The viewer, in frames of ``link.frames``.

    Raises:
        RequestRefusedError: The board has no console.
    """
    if console is None:
        raise RequestRefusedError("the board has no console")
    since = body.get("since")
    limit = console.replay_bytes(began, float(since) if isinstance(since, (int, float)) else None)
    viewer = console.broker.view(limit)
    session = _Session(console, viewer, stream, str(body.get("principal")))
    writer = body.get("mode") == "write" and session.take(steal=False)
    console.join(stream, admin=since is None)
    try:
        await session.tell(event="attached", writer=writer, replay=viewer.behind)
        showing = asyncio.ensure_future(session.show())
        hearing = asyncio.ensure_future(session.hear())
        try:
            await asyncio.wait({showing, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            showing.cancel()
            hearing.cancel()
            await asyncio.gather(showing, hearing, return_exceptions=True)
    except (LinkError, FrameError):
        return  # the viewer is gone, or speaks something else
    finally:
        session.release()
        console.leave(stream)


async def read_log(console: RackConsole | None, body: Document) -> Document:
    """Return what a console printed in one boot, or its last ``tail`` bytes, as ``{"data": base64}``."""
    if console is None:
        raise RequestRefusedError("the board has no console")
    tail = body.get("tail")
    limit = min(int(tail), _LOG_LIMIT) if isinstance(tail, int) and tail >= 0 else _LOG_LIMIT
    data = await asyncio.to_thread(_read, console, str(body.get("boot")), limit)
    return {"data": base64.b64encode(data).decode()}


def _read(console: RackConsole, boot: str, limit: int) -> bytes:
    """Read a boot's log and keep its end."""
    kept = bytearray()
    offset = 0
    while True:
        piece = console.broker.read_log(boot, offset, 1 << 20)
        kept += piece.data
        del kept[:-limit]
        if piece.next == offset or not piece.data:
            return bytes(kept) if limit else b""
        offset = piece.next
