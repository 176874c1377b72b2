"""The far end of each console driver: something that really speaks its protocol, with an echoing board."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console_servers import ser2net
from pty_board import PtyBoard

from hostler.drivers.console.fake import FakeConsole
from hostler.drivers.registry import console_driver
from hostler.virtual.serial import SerialLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from hostler.drivers.console.protocol import ConsoleDriver

    _Made = Callable[[Path], AbstractAsyncContextManager["Peer"]]


@dataclass
class Peer:
    """A driver and what is behind it.

    Attributes:
        driver: Leads to a board that echoes.
        hang_up: Ends the open line from the far end; None: the wire knows no such thing.
        say: Speaks for the board, on a wire that only listens; None: it echoes what is written.
    """

    driver: ConsoleDriver
    hang_up: Callable[[], object] | None
    say: Callable[[bytes], Awaitable[None]] | None = None


@asynccontextmanager
async def _fake(_folder: Path) -> AsyncIterator[Peer]:
    driver = console_driver("fake", {}, {})
    assert isinstance(driver, FakeConsole)
    yield Peer(driver, driver.hang_up)


@asynccontextmanager
async def _raw_tcp(_folder: Path) -> AsyncIterator[Peer]:
    line = SerialLine("echo")
    server = await line.listen("127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    board = asyncio.ensure_future(line.plug_in(ours))
    reader, writer = await asyncio.open_connection(sock=theirs)
    echoing = asyncio.ensure_future(_echo(reader, writer))
    try:
        yield Peer(
            console_driver("raw-tcp", {"host": "127.0.0.1"}, {"port": port}),
            lambda: asyncio.ensure_future(line.hang_up()),
        )
    finally:
        server.close()
        await line.hang_up()
        for task in (echoing, board):
            task.cancel()
        await asyncio.wait([echoing, board])
        writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def _unix_socket(folder: Path) -> AsyncIterator[Peer]:
    lines: list[asyncio.StreamWriter] = []
    there = asyncio.Event()

    async def board(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(writer)
        there.set()
        await _echo(reader, writer)

    async def hang_up() -> None:
        await there.wait()
        lines[-1].transport.abort()

    server = await asyncio.start_unix_server(board, folder / "board")
    try:
        yield Peer(
            console_driver("unix-socket", {}, {"path": str(folder / "board")}),
            lambda: asyncio.ensure_future(hang_up()),
        )
    finally:
        server.close()
        for line in lines:
            line.transport.abort()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _tty(folder: Path) -> AsyncIterator[Peer]:
    board = PtyBoard(folder / "ttyUSB0")
    board.plug_in()
    try:
        yield Peer(console_driver("tty", {}, {"path": str(board.path)}), board.unplug)
    finally:
        board.unplug()


def _through_ser2net(name: str, accepter: str, **binding: object) -> _Made:
    @asynccontextmanager
    async def made(folder: Path) -> AsyncIterator[Peer]:
        board = PtyBoard(folder / "ttyUSB0")
        board.plug_in()
        try:
            async with ser2net(folder, accepter, board.path) as (port, server):
                yield Peer(
                    console_driver(name, {"host": "127.0.0.1"}, {"port": port, **binding}), server.kill
                )
        finally:
            board.unplug()

    return made


PEERS: dict[str, _Made] = {
    "fake": _fake,
    "raw-tcp": _raw_tcp,
    "rfc2217": _through_ser2net("rfc2217", "telnet(rfc2217)", baud=9600, parity="none", flow="none"),
    "telnet": _through_ser2net("telnet", "telnet"),
    "tty": _tty,
    "unix-socket": _unix_socket,
}
