"""Jumps: a TCP connection from an ssh client to a board it holds (``ssh -J lab@LAB root@BOARD``)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING

import asyncssh
from asyncssh.stream import SSHTCPStreamSession

from hostler.gateway.limits import BusyError
from hostler.hub.errors import ForbiddenError, Refusal
from hostler.hub.host_keys import board_names
from hostler.hub.source import coming_from
from hostler.link.frames import BYTES, COMMAND, FrameError, Unpacker, pack
from hostler.link.port import LinkError

if TYPE_CHECKING:
    from hostler.gateway.limits import Share
    from hostler.gateway.login import Login
    from hostler.hub.hub import Hub
    from hostler.link.port import Stream

log = logging.getLogger(__name__)

_BLOCK = 64 * 1024
_LOOK_SECONDS = 2.0


async def open_jump(
    hub: Hub, share: Share, login: Login, host: str, port: int
) -> asyncssh.SSHTCPSession[bytes]:
    """Connect to a port of a board.

    Args:
        hub: Knows who holds it.
        share: How many there may be.
        login: Who asks.
        host: The board's name, or that with the lab's name behind it.
        port: TCP port.

    Raises:
        asyncssh.ChannelOpenError: it is no board of theirs, or it does not answer.
    """
    board = _board(hub, host)
    if board is None:
        text = f'"{host}" is no board of this lab; nothing else is reached through it'
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, text)
    who = login.principal.name
    try:
        share.take(who)
    except BusyError as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, str(error)) from None
    try:
        with coming_from(login.source):
            stream = await hub.metal.open_tcp(login.principal, board, port)
    except BaseException as error:
        share.give(who)
        if not isinstance(error, Refusal):
            raise
        raise _no(error) from None
    log.info("ssh: %s reaches port %d of %s", who, port, board)

    closed = False

    async def close() -> None:
        nonlocal closed
        if not closed:
            closed = True
            share.give(who)
            login.jumps.discard(close)
            await stream.close()

    async def carry(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        try:
            await _carry(hub, login, board, stream, reader, writer)
        finally:
            await close()
            writer.close()

    login.jumps.add(close)  # a client that goes away now never gets to carry anything
    return SSHTCPStreamSession(carry)


def _no(refusal: Refusal) -> asyncssh.ChannelOpenError:
    forbidden = isinstance(refusal, ForbiddenError)
    code = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED if forbidden else asyncssh.OPEN_CONNECT_FAILED
    return asyncssh.ChannelOpenError(code, refusal.detail)


def _board(hub: Hub, host: str) -> str | None:
    wanted = host.lower()
    for name in hub.state.boards:
        if wanted in (known.lower() for known in board_names(name, hub.state.inventory.lab)):
            return name
    return None


async def _carry(
    hub: Hub, login: Login, board: str, stream: Stream, reader: asyncssh.SSHReader[bytes],
    writer: asyncssh.SSHWriter[bytes],
) -> None:  # fmt: skip
    up = asyncio.ensure_future(_up(stream, reader))
    down = asyncio.ensure_future(_down(stream, writer))
    lost = asyncio.ensure_future(_lost(hub, login, board))
    closed = asyncio.ensure_future(writer.channel.wait_closed())
    tasks = (up, down, lost, closed)
    try:
        both = asyncio.gather(up, down)
        await asyncio.wait((both, lost, closed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _up(stream: Stream, reader: asyncssh.SSHReader[bytes]) -> None:
    """Client to board."""
    with contextlib.suppress(LinkError):
        with contextlib.suppress(OSError, asyncssh.Error):
            while data := await reader.read(_BLOCK):
                await stream.write(pack(BYTES, data))
        await stream.write(pack(COMMAND, json.dumps({"event": "eof"}).encode()))


async def _down(stream: Stream, writer: asyncssh.SSHWriter[bytes]) -> None:
    """Board to client."""
    unpacker = Unpacker()
    with contextlib.suppress(OSError, asyncssh.Error, LinkError, FrameError):
        while data := await stream.read():
            for channel, payload in unpacker.feed(data):
                if channel == BYTES:
                    writer.write(payload)
                    await writer.drain()
                elif channel == COMMAND:
                    writer.write_eof()
                    return
    # The rack has closed it: nothing more comes either way.
    writer.close()


async def _lost(hub: Hub, login: Login, board: str) -> None:
    """Return when they may use the board no more."""
    while True:
        version = hub.bells.version(f"board/{board}")
        try:
            hub.metal.refuse_unheld(login.principal, board)
        except Refusal:
            return
        await hub.bells.wait(f"board/{board}", version, _LOOK_SECONDS)
