"""What a viewer of a console may ask for beside typing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from hostler.drivers.console import fake
from hostler.link.frames import BYTES, COMMAND, Unpacker, pack
from hostler.link.memory_stream import MemoryStream
from hostler.rack.console import RackConsole
from hostler.rack.console_door import serve_console


@contextlib.asynccontextmanager
async def joined(folder: Path, mode: str):
    """A viewer of a fake console that echoes; yields its stream."""
    console = RackConsole("b1", fake.FakeConsole(), folder, None, lambda _: None, lambda *_: None)
    running = asyncio.create_task(console.run())
    ours, theirs = MemoryStream.pair()
    async with asyncio.timeout(5):
        while not console.connected:
            await asyncio.sleep(0.01)
    serving = asyncio.create_task(serve_console(console, None, {"mode": mode, "principal": "ann"}, theirs))
    try:
        yield ours
    finally:
        await ours.close()
        await serving
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class BreakStream(fake.FakeConsoleStream):
    async def send_break(self, _seconds: float = 0.25) -> None:
        await self.write(b"<BREAK>")


async def answer(stream: MemoryStream, unpacker: Unpacker, channel: int) -> bytes:
    async with asyncio.timeout(5):
        while True:
            for number, payload in unpacker.feed(await stream.read()):
                if number == channel and b"attached" not in payload:
                    return payload


async def test_break_is_sent_by_who_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command reaches the wire, in its place among what is typed."""
    monkeypatch.setattr(fake, "FakeConsoleStream", BreakStream)
    async with joined(tmp_path, "write") as stream:
        unpacker, said = Unpacker(), b""
        await stream.write(pack(BYTES, b"a") + pack(COMMAND, b'{"cmd":"break"}') + pack(BYTES, b"b"))
        while not said.endswith(b"b"):
            said += await answer(stream, unpacker, BYTES)
        assert said == b"a<BREAK>b"


@pytest.mark.parametrize(
    ("mode", "command", "why"),
    [("write", "break", "carries no BREAK"), ("read", "break", "only reading"), ("write", "x", '"break"')],
)
async def test_a_command_that_cannot_be_followed_is_refused(
    tmp_path: Path, mode: str, command: str, why: str
):
    """The viewer is told why, and stays."""
    async with joined(tmp_path, mode) as stream:
        await stream.write(pack(COMMAND, json.dumps({"cmd": command}).encode()))
        told = json.loads(await answer(stream, Unpacker(), COMMAND))
        assert told["event"] == "refused"
        assert why in told["text"]
