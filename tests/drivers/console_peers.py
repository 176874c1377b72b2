"""The far end of each console driver: something that really speaks its protocol, with an echoing board."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console_servers import end_own, ipmi_sim, ser2net, sshd
from pty_board import PtyBoard

from free_ports import free_port
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


def _ended_by(pid: Path) -> Callable[[], object]:
    """Return what ends the process that writes its number into a file."""

    async def end() -> None:
        while not pid.exists() or not pid.read_text().strip():
            await asyncio.sleep(0.01)
        os.kill(int(pid.read_text()), signal.SIGKILL)

    return lambda: asyncio.ensure_future(end())


@asynccontextmanager
async def _command(folder: Path) -> AsyncIterator[Peer]:
    command = ["sh", "-c", f"echo $$ >{folder}/pid; exec cat"]
    yield Peer(console_driver("command", {}, {"command": command}), _ended_by(folder / "pid"))


@asynccontextmanager
async def _ssh(folder: Path) -> AsyncIterator[Peer]:
    async with sshd(folder) as host:
        command = f"echo $$ >{folder}/pid; exec cat"
        yield Peer(console_driver("ssh", host, {"command": command}), _ended_by(folder / "pid"))


@asynccontextmanager
async def _ipmi_sol(folder: Path) -> AsyncIterator[Peer]:
    board = await asyncio.start_server(_echo, "127.0.0.1", 0)
    try:
        async with ipmi_sim(folder, board.sockets[0].getsockname()[1]) as controller:
            # ipmi_sim ends a session without telling it, so what is ended is the program that has it.
            yield Peer(console_driver("ipmi-sol", controller, {}), lambda: end_own("ipmitool"))
    finally:
        board.close()


@asynccontextmanager
async def _netconsole(_folder: Path) -> AsyncIterator[Peer]:
    port = free_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as board:
        board.bind(("127.0.0.7", 0))

        async def say(data: bytes) -> None:
            for at in range(0, len(data), 1000):
                board.sendto(data[at : at + 1000], ("127.0.0.1", port))
            await asyncio.sleep(0)

        driver = console_driver("netconsole", {"listen": f"127.0.0.1:{port}"}, {"source": "127.0.0.7"})
        yield Peer(driver, None, say)


PEERS: dict[str, _Made] = {
    "command": _command,
    "fake": _fake,
    "ipmi-sol": _ipmi_sol,
    "netconsole": _netconsole,
    "raw-tcp": _raw_tcp,
    "rfc2217": _through_ser2net("rfc2217", "telnet(rfc2217)", baud=9600, parity="none", flow="none"),
    "ssh": _ssh,
    "telnet": _through_ser2net("telnet", "telnet"),
    "tty": _tty,
    "unix-socket": _unix_socket,
}
