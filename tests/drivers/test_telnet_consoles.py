"""Telnet and RFC 2217 lines: ser2net as the server, and servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from console_servers import ser2net
from pty_board import PtyBoard

from hostler.drivers.console.protocol import CanBreak, CanSetLine, CanSetLines
from hostler.drivers.console.rfc2217 import Rfc2217
from hostler.drivers.console.telnet import TelnetConsole
from hostler.drivers.errors import DidNotHappen, DriverTimeout, EquipmentRefused, EquipmentUnreachable
from hostler.wire.rfc2217 import LineSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[PtyBoard]:
    made = PtyBoard(tmp_path / "ttyUSB0")
    made.plug_in()
    yield made
    made.unplug()


async def read_until(stream: object, words: bytes) -> bytes:
    said = b""
    async with asyncio.timeout(60):
        while words not in said and (more := await stream.read()):  # type: ignore[attr-defined]
            said += more
    return said


async def test_the_real_line_is_set_up_as_told(board: PtyBoard, tmp_path: Path) -> None:
    """What the binding says is what the device behind ser2net has afterwards."""
    async with ser2net(tmp_path, "telnet(rfc2217)", board.path) as (port, _):
        binding = {"port": port, "baud": 57600, "data_bits": 8, "parity": "none", "stop_bits": 2}
        stream = await Rfc2217.from_config({"host": "127.0.0.1"}, binding).open()
        assert stream.port.ready
        attributes = termios.tcgetattr(board.master)
        assert attributes[4:6] == [termios.B57600, termios.B57600]
        assert attributes[2] & termios.CSTOPB
        await stream.close()


async def test_an_open_line_is_set_up_anew(board: PtyBoard, tmp_path: Path) -> None:
    """Settings can be asked for, changed one at a time while the line is read, and put back."""
    async with ser2net(tmp_path, "telnet(rfc2217)", board.path) as (port, _):
        stream = await Rfc2217.from_config({"host": "127.0.0.1"}, {"port": port, "baud": 57600}).open()
        assert isinstance(stream, CanSetLine)
        reading = asyncio.create_task(read_until(stream, b"never said"))
        before = await stream.set_line(LineSettings())
        assert before == LineSettings(57600, 8, "none", 1, "none")
        assert (await stream.set_line(LineSettings(baud=9600))).baud == 9600
        assert termios.tcgetattr(board.master)[4] == termios.B9600
        assert await stream.set_line(before) == before
        assert termios.tcgetattr(board.master)[4] == termios.B57600
        await stream.close()
        reading.cancel()


async def test_break_and_modem_lines_are_answered(board: PtyBoard, tmp_path: Path) -> None:
    """ser2net answers every switch, and the bytes around them stay whole."""
    async with ser2net(tmp_path, "telnet(rfc2217)", board.path) as (port, _):
        stream = await Rfc2217.from_config({"host": "127.0.0.1"}, {"port": port}).open()
        assert isinstance(stream, CanBreak)
        assert isinstance(stream, CanSetLines)
        await stream.write(b"before ")
        await stream.send_break(0.05)
        await stream.set_lines(dtr=False, rts=True)
        await stream.write(b"after\r\n\r\xff\xf0.")
        assert await read_until(stream, b".") == b"before after\r\n\r\xff\xf0."
        await stream.close()


async def test_a_server_without_rfc_2217_is_told_apart(board: PtyBoard, tmp_path: Path) -> None:
    """A plain telnet port refuses, and the message says what to use instead."""
    async with ser2net(tmp_path, "telnet", board.path) as (port, _):
        with pytest.raises(EquipmentRefused, match="driver telnet"):
            await Rfc2217.from_config({"host": "127.0.0.1"}, {"port": port}).open()


@asynccontextmanager
async def server(answer: bytes, *, hang_up: bool = False) -> AsyncIterator[tuple[int, bytearray]]:
    """A server that says one thing and takes everything."""
    heard = bytearray()
    writers: list[asyncio.StreamWriter] = []

    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            writer.write(answer)
            while not hang_up and (data := await reader.read(4096)):
                heard.extend(data)
        writer.close()

    listening = await asyncio.start_server(line, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], heard
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


def rfc2217(port: int, **binding: object) -> Rfc2217:
    return Rfc2217.from_config({"host": "127.0.0.1", "timeout": 0.3}, {"port": port, **binding})


async def test_a_server_that_never_answers_ends_in_a_timeout() -> None:
    """A raw port looks like a silent server; the message says so."""
    async with server(b"login: ") as (port, _):
        with pytest.raises(DriverTimeout, match="raw-tcp"):
            await rfc2217(port).open()


async def test_a_server_that_sets_something_else_is_refused() -> None:
    """A console at the wrong speed shows garbage: better none, and why."""
    other = b"\xff\xfd\x2c" + b"\xff\xfa\x2c\x65" + (115200).to_bytes(4) + b"\xff\xf0"
    async with server(other) as (port, _):
        with pytest.raises(DidNotHappen, match="baud"):
            await rfc2217(port, baud=1_500_000).open()


async def test_a_suspended_line_takes_no_bytes() -> None:
    """A server that asks to wait is waited for, but not for ever."""
    suspend = b"\xff\xfd\x2c\xff\xfa\x2c\x6c\xff\xf0"
    async with server(suspend) as (port, heard):
        stream = await rfc2217(port).open()
        with pytest.raises(DriverTimeout, match="suspended"):
            await stream.write(b"secret")
        assert b"secret" not in heard
        await stream.close()


async def test_a_server_that_hangs_up_at_once() -> None:
    """A line in use is often answered so."""
    async with server(b"Port is in use\r\n", hang_up=True) as (port, _):
        with pytest.raises(EquipmentUnreachable, match="in use"):
            await rfc2217(port).open()


async def test_a_telnet_server_that_knows_no_options_is_used_as_it_is() -> None:
    """Nobody answers our proposals: a CR is followed by a NUL, and what was said meanwhile is not lost."""
    async with server(b"hello\r\0\n") as (port, heard):
        stream = await TelnetConsole.from_config({"host": "127.0.0.1", "timeout": 0.3}, {"port": port}).open()
        assert await read_until(stream, b"\n") == b"hello\r\n"
        await stream.write(b"root\r")
        await stream.send_break(0)
        async with asyncio.timeout(60):
            while not heard.endswith(b"root\r\0\xff\xf3"):
                await asyncio.sleep(0.01)
        await stream.close()


async def test_telnet_bytes_are_those_of_the_line(board: PtyBoard, tmp_path: Path) -> None:
    """IAC and CR arrive at the device as they were typed."""
    board.echo = False
    async with ser2net(tmp_path, "telnet", board.path) as (port, _):
        stream = await TelnetConsole.from_config({"host": "127.0.0.1"}, {"port": port}).open()
        await stream.write(b"\xff\r\n\rx\0")
        async with asyncio.timeout(60):
            while len(board.typed) < 6:
                await asyncio.sleep(0.01)
        assert bytes(board.typed) == b"\xff\r\n\rx\0"
        os.write(board.master, b"\r\0\xff")
        assert await read_until(stream, b"\xff") == b"\r\0\xff"
        await stream.close()
