"""The terminal server: a line that stays open over power cycles and loses nothing while someone listens."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hostler.virtual.serial import BACKLOG, SerialLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _line() -> AsyncIterator[tuple[SerialLine, int]]:
    line = SerialLine("board")
    server = await line.listen("127.0.0.1", 0)
    try:
        yield line, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await line.hang_up()


@asynccontextmanager
async def _powered(line: SerialLine) -> AsyncIterator[Streams]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    carrying = asyncio.ensure_future(line.plug_in(ours))
    reader, writer = await asyncio.open_connection(sock=theirs)
    yield reader, writer
    writer.close()
    async with asyncio.timeout(60):
        await carrying


async def _client(port: int) -> Streams:
    streams = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.05)  # until the far side has taken the connection
    return streams


async def test_one_connection_outlives_many_power_cycles() -> None:
    """As with a USB adapter, the line stays up while the board behind it is cut off and fed again."""
    async with _line() as (line, port), asyncio.timeout(60):
        reader, writer = await _client(port)
        for cycle in range(20):
            async with _powered(line) as (board_reader, board_writer):
                word = f"cycle {cycle:02}\n".encode()
                board_writer.write(word)
                assert await reader.readexactly(len(word)) == word
                writer.write(b"ls\n")
                assert await board_reader.readexactly(3) == b"ls\n"
        writer.close()


async def test_last_words_are_heard() -> None:
    """What a board said just before it lost its power still arrives."""
    async with _line() as (line, port), asyncio.timeout(60):
        reader, writer = await _client(port)
        async with _powered(line) as (_, board_writer):
            board_writer.write(b"x" * 100_000 + b"panic\n")
        assert (await reader.readexactly(100_006)).endswith(b"panic\n")
        writer.close()


async def test_nothing_is_lost_to_a_slow_client() -> None:
    """A client that reads slowly holds the board back, as flow control would; every byte arrives in order."""
    data = b"".join(f"{number:09}\n".encode() for number in range(1_000_000))
    async with _line() as (line, port), asyncio.timeout(60):
        reader, writer = await _client(port)

        async def slowly() -> bytes:
            got = bytearray()
            while len(got) < len(data):
                got += await reader.read(1 << 20)
                await asyncio.sleep(0.01)
            return bytes(got)

        reading = asyncio.ensure_future(slowly())
        async with _powered(line) as (_, board_writer):
            board_writer.write(data)
            await board_writer.drain()
            assert await reading == data
        writer.close()


async def test_without_a_client_the_latest_bytes_are_kept() -> None:
    """A board that talks to nobody neither stops nor fills memory; the next client reads the latest."""
    async with _line() as (line, port), asyncio.timeout(60):
        async with _powered(line) as (_, board_writer):
            board_writer.write(b"old" * BACKLOG + b"newest")
            await board_writer.drain()
        reader, writer = await _client(port)
        kept = await reader.readexactly(BACKLOG)
        assert kept.endswith(b"newest")
        writer.close()


async def test_a_second_client_is_told_that_the_line_is_in_use() -> None:
    """One line, one user; the first is not disturbed."""
    async with _line() as (line, port), asyncio.timeout(60):
        reader, writer = await _client(port)
        second, _ = await _client(port)
        assert b"in use" in await second.read()
        async with _powered(line) as (_, board_writer):
            board_writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_typing_into_a_board_without_power_goes_nowhere() -> None:
    """Bytes sent while the board is off are not delivered to it later."""
    async with _line() as (line, port), asyncio.timeout(60):
        _, writer = await _client(port)
        writer.write(b"lost")
        await asyncio.sleep(0.1)
        async with _powered(line) as (board_reader, _):
            await asyncio.sleep(0.05)
            writer.write(b"heard")
            assert await board_reader.readexactly(5) == b"heard"
        writer.close()
