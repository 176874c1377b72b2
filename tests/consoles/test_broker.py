"""The broker over a real TCP line: recorded always, seen by many, written by one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from hostler.consoles.broker import ConsoleBroker, ConsoleDownError, WriterTakenError
from hostler.consoles.keyboard import KeyboardLentError
from hostler.consoles.log import ConsoleLog
from hostler.consoles.watch import PatternError
from hostler.drivers.console.raw_tcp import RawTcp


class TerminalServer:
    """A serial line behind a TCP port, with the board played by the test."""

    def __init__(self) -> None:
        self.port = 0
        self.typed = b""
        self.lines: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._line, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        assert self._server is not None
        self._server.close()
        for line in self.lines:
            line.transport.abort()
        self.lines.clear()

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                self.typed += data

    async def say(self, data: bytes) -> None:
        await until(lambda: self.lines)
        self.lines[-1].write(data)
        await self.lines[-1].drain()


async def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


class Bench:
    def __init__(self, folder: Path, server: TerminalServer) -> None:
        self.server = server
        self.events: list[Any] = []
        self.markers: list[Any] = []
        self.broker = ConsoleBroker(
            "b1",
            RawTcp.from_config({"host": "127.0.0.1"}, {"port": server.port}),
            ConsoleLog(folder / "log"),
            emit=self.events.append,
            on_marker=lambda boot, document: self.markers.append((boot, document)),
        )

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def recorded(self, boot: str) -> bytes:
        return self.broker.read_log(boot, 0, 1 << 24).data


@pytest.fixture
async def bench(tmp_path: Path):
    server = TerminalServer()
    await server.up()
    made = Bench(tmp_path, server)
    running = asyncio.create_task(made.broker.run())
    await until(lambda: made.broker.connected)
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    made.broker.close()
    await server.down()


async def test_all_is_recorded_by_boot_with_nobody_looking(bench: Bench):
    """Bytes go to the log of the boot they belong to, and stages to the trace with its id."""
    await bench.server.say(b"early\r\n")
    await until(lambda: bench.recorded("before") == b"early\r\n")
    bench.broker.new_boot("boot-1")
    await bench.server.say(b'Linux version 6.1\r\n@hostler {"event":"hello"}\r\nhost login: ')
    await until(lambda: "login" in bench.kinds())
    assert bench.recorded("boot-1").endswith(b"host login: ")
    assert bench.recorded("before") == b"early\r\n"
    assert [(event.kind, event.boot) for event in bench.events] == [
        ("connected", None), ("speaks", "boot-1"), ("kernel", "boot-1"), ("login", "boot-1"),
    ]  # fmt: skip
    assert bench.markers == [("boot-1", {"event": "hello"})]


async def test_a_lost_line_is_connected_again(bench: Bench):
    """A terminal server that restarts costs a visible note, not the console."""
    await bench.server.say(b"one ")
    await until(lambda: bench.recorded("before") == b"one ")
    await bench.server.down()
    await until(lambda: not bench.broker.connected)
    writer = bench.broker.take("ann")
    with pytest.raises(ConsoleDownError, match="not connected"):
        await writer.write(b"x")
    await bench.server.up()
    await until(lambda: bench.broker.connected)
    await bench.server.say(b"two")
    await until(lambda: bench.recorded("before").endswith(b"two"))
    assert b"[hostler: console line lost" in bench.recorded("before")
    assert bench.kinds() == ["connected", "lost", "connected"]
    assert bench.broker.problem is None


async def test_viewers_see_the_same_and_newcomers_the_last_of_it(bench: Bench):
    """Each viewer reads every byte; one who comes later begins with the replay."""
    first = bench.broker.view()
    await bench.server.say(b"hello ")
    assert await first.read() == b"hello "
    late = bench.broker.view()
    assert await late.read() == b"hello "
    nothing = bench.broker.view(replay=0)
    await bench.server.say(b"world")
    for viewer in (first, late, nothing):
        assert await asyncio.wait_for(viewer.read(), 60) == b"world"


SAID = 3 << 20


async def test_a_slow_viewer_loses_its_place_and_slows_nobody(bench: Bench):
    """Who does not read for 3 MB is told how much was skipped; the others and the log have it all."""
    slow, quick = bench.broker.view(), bench.broker.view()
    got = bytearray()

    async def read_along() -> None:
        async for data in quick:
            got.extend(data)

    reading = asyncio.create_task(read_along())
    line = b"x" * 1022 + b"\r\n"
    for _ in range(SAID // 1024):
        await bench.server.say(line)
    await until(lambda: len(got) == SAID)
    reading.cancel()
    note = await slow.read()
    assert note.startswith(b"\r\n[... ")
    skipped = int(note.split()[1])
    rest = b""
    while len(rest) + skipped < SAID:
        rest += await slow.read()
    assert len(rest) + skipped == SAID
    assert (bench.broker.read_log("before", -1, 1).size) == SAID


async def test_one_writes_at_a_time(bench: Bench):
    """A second writer is refused by name, may steal, and the first is told by whom."""
    ann = bench.broker.take("ann")
    await ann.write(b"a")
    with pytest.raises(WriterTakenError, match="ann writes"):
        bench.broker.take("bob")
    bob = bench.broker.take("bob", steal=True)
    await bob.write(b"b")
    with pytest.raises(WriterTakenError, match="bob has the console"):
        await ann.write(b"c")
    ann.release()
    assert bench.broker.writer == "bob"
    bob.release()
    assert bench.broker.writer is None
    await until(lambda: bench.server.typed == b"ab")


async def test_a_keyboard_that_was_lent_comes_back(bench: Bench):
    """Who typed is refused for that time, by name, and types again; who left meanwhile does not."""
    ann = bench.broker.take("ann")
    borrowed = bench.broker.keyboard.borrow("the lab")
    await borrowed.write(b"l")
    with pytest.raises(KeyboardLentError, match="the lab has the console"):
        await ann.write(b"x")
    borrowed.release()
    await ann.write(b"a")
    borrowed = bench.broker.keyboard.borrow("the lab")
    ann.release()
    borrowed.release()
    assert bench.broker.writer is None
    await until(lambda: bench.server.typed == b"la")


async def test_a_person_may_take_a_borrowed_keyboard(bench: Bench):
    """People come first: the borrower is told who has it, and gives nothing back to anybody."""
    bench.broker.take("ann")
    borrowed = bench.broker.keyboard.borrow("the lab")
    bench.broker.take("bob", steal=True)
    with pytest.raises(WriterTakenError, match="bob has the console"):
        await borrowed.write(b"x")
    borrowed.release()
    assert bench.broker.writer == "bob"


async def test_words_are_found_across_pieces(bench: Bench):
    """A watch matches although the stream is cut in the middle of the word."""
    with bench.broker.watch(rb"debian login:") as watch:
        for piece in (b"deb", b"ian lo", b"gin"):
            await bench.server.say(piece)
            await asyncio.sleep(0.02)
        assert watch.seen is None
        await bench.server.say(b": ")
        assert (await watch.wait(5)).text == b"debian login:"


async def test_a_watch_counts_what_this_boot_said_already(bench: Bench):
    """Words said before the watch count from the boot's beginning, not those of the boot before."""
    await bench.server.say(b"old login:")
    await until(lambda: bench.recorded("before"))
    bench.broker.new_boot("boot-1")
    with bench.broker.watch(rb"login:") as watch, pytest.raises(TimeoutError):
        await watch.wait(0.05)
    await bench.server.say(b"new login:" + b"x" * 300_000)
    await until(lambda: len(bench.recorded("boot-1")) == 300_010)
    with bench.broker.watch(rb"login:") as watch:
        assert watch.seen is not None
    with bench.broker.watch(rb"login:", since_boot=False) as watch:
        assert watch.seen is None


@pytest.mark.parametrize("pattern", [b"(", b"x" * 1000])
async def test_a_bad_pattern_is_named(bench: Bench, pattern: bytes):
    """A pattern that cannot be compiled is refused at once."""
    with pytest.raises(PatternError):
        bench.broker.watch(pattern)


async def test_a_board_that_raves_does_not_fill_the_trace(bench: Bench):
    """Stages and markers are bounded for each boot."""
    await bench.server.say(b"Linux version 6.1\r\n@hostler {}\r\n" * 2000 + b"end")
    await until(lambda: bench.recorded("before").endswith(b"end"))
    assert len(bench.events) + len(bench.markers) <= 200


async def test_a_terminal_server_that_is_away_is_waited_for(tmp_path: Path):
    """The broker starts without its line, says why once, and connects when it comes."""
    server = TerminalServer()
    await server.up()
    await server.down()
    bench = Bench(tmp_path, server)
    running = asyncio.create_task(bench.broker.run())
    await until(lambda: bench.kinds() == ["lost"])
    assert "127.0.0.1" in (bench.broker.problem or "")
    await server.up()
    await until(lambda: bench.broker.connected)
    running.cancel()
    await server.down()


class Chatterbox:
    """A line that always has something to say, for 8 MB."""

    def __init__(self) -> None:
        self.left = 2048

    async def open(self) -> Chatterbox:
        return self

    async def read(self) -> bytes:
        if not self.left:
            await asyncio.Event().wait()
        self.left -= 1
        return b"x" * 4096

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


async def test_a_line_that_never_pauses_lets_others_have_their_turn(tmp_path: Path):
    """However fast a board talks, who reads along gets every byte: the loop is not the line's alone."""
    broker = ConsoleBroker(
        "b1", Chatterbox(), ConsoleLog(tmp_path), emit=lambda _: None, on_marker=lambda *_: None
    )
    viewer = broker.view()
    running = asyncio.create_task(broker.run())
    got = 0
    async with asyncio.timeout(60):
        while got < 2048 * 4096:
            got += len(await viewer.read())
    assert (got, viewer.skipped) == (2048 * 4096, 0)
    running.cancel()
