"""Rules every console driver keeps, run over all of them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hostler.drivers.console.fake import FakeConsole
from hostler.drivers.errors import DriverConfigError, EquipmentUnreachable
from hostler.drivers.registry import CONSOLE, console_driver, driver_names
from hostler.virtual.serial import SerialLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hostler.drivers.console.protocol import ConsoleDriver, ConsoleStream

Line = "tuple[ConsoleDriver, Callable[[], object]]"


@asynccontextmanager
async def _fake() -> AsyncIterator[tuple[ConsoleDriver, Callable[[], object]]]:
    driver = console_driver("fake", {}, {})
    assert isinstance(driver, FakeConsole)
    yield driver, driver.hang_up


@asynccontextmanager
async def _raw_tcp() -> AsyncIterator[tuple[ConsoleDriver, Callable[[], object]]]:
    line = SerialLine("echo")
    server = await line.listen("127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    board = asyncio.ensure_future(line.plug_in(ours))
    reader, writer = await asyncio.open_connection(sock=theirs)

    async def echo() -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    echoing = asyncio.ensure_future(echo())
    try:
        yield (
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


DRIVERS = {"fake": _fake, "raw-tcp": _raw_tcp}


@pytest.fixture(params=sorted(DRIVERS))
async def line(request: pytest.FixtureRequest) -> AsyncIterator[tuple[ConsoleDriver, Callable[[], object]]]:
    async with DRIVERS[request.param]() as made:
        yield made


async def _read_exactly(stream: ConsoleStream, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(10):
        while len(data) < size and (more := await stream.read()):
            data += more
    return data


def test_every_installed_driver_is_held_to_these_rules() -> None:
    """A driver that is installed but not tested here is a driver nobody promises anything about."""
    assert driver_names(CONSOLE) == sorted(DRIVERS)


async def test_all_256_byte_values_pass_both_ways(line: tuple[ConsoleDriver, Callable[[], object]]) -> None:
    """A line carries bytes, not text."""
    stream = await line[0].open()
    data = bytes(range(256)) * 40
    await stream.write(data)
    assert await _read_exactly(stream, len(data)) == data
    await stream.close()


async def test_a_closed_line_reads_as_empty(line: tuple[ConsoleDriver, Callable[[], object]]) -> None:
    """The end of a line is b"", again and again, not an exception."""
    stream = await line[0].open()
    line[1]()
    async with asyncio.timeout(5):
        assert await stream.read() == b""
        assert await stream.read() == b""
    await stream.close()


async def test_closing_ends_a_reader_and_is_harmless_twice(
    line: tuple[ConsoleDriver, Callable[[], object]],
) -> None:
    """close() wakes whoever reads, and may be called again."""
    stream = await line[0].open()
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0.05)
    await stream.close()
    async with asyncio.timeout(5):
        assert await reading == b""
    await stream.close()
    with pytest.raises(EquipmentUnreachable):
        await stream.write(b"x")


async def test_it_can_be_opened_again(line: tuple[ConsoleDriver, Callable[[], object]]) -> None:
    """A line that was closed can be opened anew."""
    for word in (b"one", b"two"):
        stream = await line[0].open()
        await stream.write(word)
        assert await _read_exactly(stream, 3) == word
        await stream.close()
        await asyncio.sleep(0.05)


async def test_nothing_listens() -> None:
    """An address nobody listens on says so at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EquipmentUnreachable, match=str(port)):
        await console_driver("raw-tcp", {"host": "127.0.0.1"}, {"port": port}).open()


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({}, {"port": 4001}, "host"),
        ({"host": "ts"}, {}, "port"),
        ({"host": "ts"}, {"port": 70000}, "port"),
        ({}, {"address": "ts"}, "address"),
        ({}, {"address": "ts:1", "port": 1}, "port"),
        ({"host": "ts", "timeout": -1}, {"port": 1}, "timeout"),
        ({"host": "ts", "baud": 9600}, {"port": 1}, "baud"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        console_driver("raw-tcp", equipment, binding)
    assert caught.value.key == key
