"""What somebody joined to a console may do beside typing, and what the others notice of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from hostler.drivers.console import fake
from hostler.link.frames import BYTES, COMMAND, Unpacker, pack
from hostler.link.memory_stream import MemoryStream
from hostler.link.port import LinkError, RequestRefusedError
from hostler.rack.console import RackConsole
from hostler.rack.console_door import REQUESTS, serve_console
from hostler.rack.console_lines import last_lines


class SerialStream(fake.FakeConsoleStream):
    """A wire that shows in its echo what else it was told."""

    async def send_break(self, _seconds: float = 0.25) -> None:
        await self.write(b"<BREAK>")

    async def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        await self.write(b"<dtr %r rts %r>" % (dtr, rts))


class SerialConsole(fake.FakeConsole):
    """A board on such a wire."""

    async def open(self) -> fake.FakeConsoleStream:
        stream = SerialStream(self)
        self._streams.append(stream)
        return stream


class Person:
    """One who is joined."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._unpacker = Unpacker()
        self._came: dict[int, list[bytes]] = {BYTES: [], COMMAND: []}
        self.attached: dict[str, Any] = {}

    async def type(self, data: bytes) -> None:
        await self.stream.write(pack(BYTES, data))

    async def command(self, cmd: str, **words: object) -> None:
        await self.stream.write(pack(COMMAND, json.dumps({"cmd": cmd, **words}).encode()))

    async def told(self, event: str) -> dict[str, Any]:
        """Return the next notice of that kind."""
        while True:
            told = json.loads(await self._next(COMMAND))
            if told["event"] == event:
                return told

    async def see(self, wanted: bytes) -> bytes:
        """Read until this was said; returns everything up to there."""
        said = b""
        while wanted not in said:
            said += await self._next(BYTES)
        return said

    async def gone(self) -> None:
        """Return when the session is closed."""
        async with asyncio.timeout(60):
            while await self.stream.read():
                pass

    async def _next(self, channel: int) -> bytes:
        async with asyncio.timeout(60):
            while not self._came[channel]:
                data = await self.stream.read()
                if not data:
                    raise LinkError("closed")
                for number, payload in self._unpacker.feed(data):
                    self._came[number].append(payload)
        return self._came[channel].pop(0)


class Bench:
    """A console that is kept, and people who join it."""

    def __init__(self, folder: Path, claim: str | None, boot: str | None, wire: fake.FakeConsole) -> None:
        self.console = RackConsole("b1", wire, folder, boot, lambda _: None, lambda *_: None, claim)
        self.tasks: list[asyncio.Task[None]] = []

    def say(self, data: bytes) -> None:
        assert isinstance(self.console.driver, fake.FakeConsole)
        self.console.driver.say(data)

    async def join(self, principal: str, mode: str = "write", **body: Any) -> Person:
        ours, theirs = MemoryStream.pair()
        body = {"principal": principal, "mode": mode, "claim": self.console.claim, "may_write": True, **body}
        self.tasks.append(asyncio.create_task(serve_console(self.console, body, theirs)))
        person = Person(ours)
        person.attached = await person.told("attached")
        return person

    async def hold(self, claim: str | None) -> None:
        """Give the board to another claim, as its rack does."""
        if self.console.hold(claim):
            await self.console.send_away()

    async def ask(self, kind: str, **body: Any) -> dict[str, Any]:
        return await REQUESTS[kind](self.console, body)

    async def log(self, **body: Any) -> bytes:
        return base64.b64decode((await self.ask("console-log", **body))["data"])

    async def recorded(self, wanted: bytes) -> None:
        """Wait until the board's last words are in the log."""
        async with asyncio.timeout(60):
            while self.console.broker.last(len(wanted)) != wanted:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def kept(
    folder: Path, claim: str | None = "c1", boot: str | None = None, wire: fake.FakeConsole | None = None
):
    """Keep a fake console that echoes."""
    bench = Bench(folder, claim, boot, wire or fake.FakeConsole())
    running = asyncio.create_task(bench.console.run())
    async with asyncio.timeout(60):
        while not bench.console.connected:
            await asyncio.sleep(0.01)
    try:
        yield bench
    finally:
        await bench.console.sessions.send_away(None, "the end")
        for task in bench.tasks:
            task.cancel()
        running.cancel()
        await asyncio.gather(running, *bench.tasks, return_exceptions=True)
        bench.console.close()


async def test_break_and_lines_are_switched_by_who_types(tmp_path: Path):
    """The commands reach the wire, in their place among what is typed."""
    async with kept(tmp_path, wire=SerialConsole()) as bench:
        ann = await bench.join("ann")
        await ann.type(b"a")
        await ann.command("break")
        await ann.command("lines", dtr=False)
        await ann.type(b"b")
        assert await ann.see(b"b") == b"a<BREAK><dtr False rts None>b"
        assert await ann.told("lines") == {"event": "lines", "dtr": False}


@pytest.mark.parametrize(
    ("mode", "command", "why"),
    [
        ("write", {"cmd": "break"}, "carries no BREAK"),
        ("write", {"cmd": "lines", "dtr": True}, "without DTR and RTS"),
        ("write", {"cmd": "line", "baud": "fast"}, "baud cannot be 'fast'"),
        ("write", {"cmd": "give"}, "nobody asks"),
        ("write", {"cmd": "give", "to": 99}, "nobody has that number"),
        ("read", {"cmd": "break"}, "only reading"),
        ("write", {"cmd": "x"}, '"break"'),
    ],
)
async def test_a_command_that_cannot_be_followed_is_refused(
    tmp_path: Path, mode: str, command: dict[str, object], why: str
):
    """The viewer is told why, under the number of the command, and stays."""
    async with kept(tmp_path) as bench:
        ann = await bench.join("ann", mode)
        await ann.command(**{"id": 7, **command})  # type: ignore[arg-type]
        told = await ann.told("refused")
        assert why in told["text"]
        assert told["id"] == 7


async def test_a_wire_whose_speed_nobody_knows_says_so(tmp_path: Path):
    """A wire without a speed answers that it is not known, and not what was asked for."""
    async with kept(tmp_path) as bench:
        ann = await bench.join("ann")
        await ann.command("line", baud=9600)
        assert await ann.told("line") == {"event": "line", "known": False}


async def test_the_keyboard_is_asked_for_and_handed_over(tmp_path: Path):
    """Who types is told who asks, and gives or not; both are told what came of it."""
    async with kept(tmp_path) as bench:
        ann, bob = await bench.join("ann"), await bench.join("bob")
        assert (ann.attached["writer"], bob.attached["writer"]) == (True, False)
        assert bob.attached["keyboard"] == "ann"
        await bob.command("request")
        assert "ann is asked" in (await bob.told("waiting"))["text"]
        assert (await ann.told("asked"))["by"] == "bob"
        await ann.command("give")
        assert (await bob.told("writer"))["writer"] is True
        assert (await ann.told("writer"))["writer"] is False
        await bob.type(b"bob types")
        await bob.see(b"bob types")
        await ann.type(b"x")
        assert "only reading" in (await ann.told("refused"))["text"]
        await bob.command("release")
        assert (await bob.told("writer"))["writer"] is False
        await ann.command("request")
        assert (await ann.told("writer"))["writer"] is True


async def test_a_stolen_keyboard_is_told_at_once(tmp_path: Path):
    """Who loses the keyboard need not type to learn it, and everybody may see who is joined."""
    async with kept(tmp_path) as bench:
        ann, bob = await bench.join("ann"), await bench.join("bob", "read")
        await bob.command("take")
        assert (await ann.told("taken"))["text"] == "bob took the keyboard"
        assert (await bob.told("writer"))["writer"] is True
        await ann.command("viewers")
        rows = (await ann.told("viewers"))["viewers"]
        assert [(row["principal"], row["writer"], row["you"]) for row in rows] == [
            ("ann", False, True), ("bob", True, False),
        ]  # fmt: skip


async def test_who_may_only_look_on_never_types(tmp_path: Path):
    """A reader gets the keyboard by no command, neither their own nor another's."""
    async with kept(tmp_path) as bench:
        ann, eve = await bench.join("ann"), await bench.join("eve", "write", may_write=False)
        assert eve.attached["writer"] is False
        for command in ("take", "request"):
            await eve.command(command)
            assert "look on only" in (await eve.told("refused"))["text"]
        await ann.command("give", to=eve.attached["viewer"])
        assert "look on only" in (await ann.told("refused"))["text"]
        await eve.type(b"evil")
        await eve.told("refused")
        await ann.type(b"good")
        assert await eve.see(b"good") == b"good"


async def test_a_new_holder_sees_nothing_of_the_last_one(tmp_path: Path):
    """When the claim changes everybody but admins goes, and the screen of before is not replayed."""
    async with kept(tmp_path) as bench:
        ann = await bench.join("ann")
        root = await bench.join("root", "read", admin=True)
        bench.say(b"password of ann\r\n")
        await ann.see(b"password of ann\r\n")
        await bench.hold("c2")
        await ann.gone()
        bob = await bench.join("bob")
        assert bob.attached["replay"] == 0
        await bob.type(b"hello bob\r\n")
        assert await bob.see(b"bob\r\n") == b"hello bob\r\n"
        assert await root.see(b"hello bob") == b"password of ann\r\nhello bob\r\n"
        late = await bench.join("bob", "read")
        assert await late.see(b"bob\r\n") == b"hello bob\r\n"


async def test_what_a_new_holder_says_reaches_no_old_one(tmp_path: Path):
    """One who does not read is cut off the moment the claim changes, not when their stream is closed."""
    async with kept(tmp_path) as bench:
        ann = await bench.join("ann")
        root = await bench.join("root", "read", admin=True)
        bench.console.hold("c2")
        bench.say(b"secret of the next one\r\n")
        await ann.type(b"still typing")
        await root.see(b"secret of the next one\r\n")
        await bench.console.send_away()
        with pytest.raises(LinkError, match="closed"):
            await ann.see(b"secret")
        await bench.join("bob")
        bench.say(b"end")
        assert await root.see(b"end") == b"end"


async def test_a_join_waits_for_the_rack_to_hear_of_the_claim(tmp_path: Path):
    """A claim the rack has not heard of yet is waited for; it is not shown what is another's meanwhile."""
    async with kept(tmp_path) as bench:
        bench.say(b"secret\r\n")
        await bench.recorded(b"secret\r\n")
        joining = asyncio.create_task(bench.join("bob", claim="c2"))
        await asyncio.sleep(0.05)
        assert not joining.done()
        await bench.hold("c2")
        assert (await joining).attached["replay"] == 0


async def test_a_claim_the_rack_does_not_have_is_refused(tmp_path: Path):
    """Who comes with the claim of yesterday is told that the board has another holder."""
    async with kept(tmp_path) as bench:
        _, theirs = MemoryStream.pair()
        with pytest.raises(RequestRefusedError, match="another holder"):
            await serve_console(bench.console, {"claim": "c0", "principal": "bob"}, theirs, patience=0.05)
        assert bench.console.sessions.joined == {}


async def test_a_log_is_of_the_claim_that_held_the_board(tmp_path: Path):
    """One boot over two claims, one claim over two boots: each claim's log is what was said under it."""
    async with kept(tmp_path, "c1", "boot-1") as bench:
        for claim, boot, words in (
            ("c1", "boot-1", b"one\n"), ("c2", "boot-1", b"two\n"), ("c2", "boot-2", b"three\n"),
            (None, "boot-2", b"wiping\n"), ("c3", "boot-3", b"four\n"),
        ):  # fmt: skip
            await bench.hold(claim)
            if boot != bench.console.log.boot:
                bench.console.new_boot(boot)
            bench.say(words)
            await bench.recorded(words)
        assert await bench.log(claims=["c1"]) == b"one\n"
        assert await bench.log(claims=["c2"]) == b"two\nthree\n"
        assert await bench.log(claims=["c2"], boot="boot-1") == b"two\n"
        assert await bench.log(boot="boot-2") == b"three\nwiping\n"
        assert await bench.log(claims=["c1", "c3"]) == b"one\nfour\n"
        assert await bench.log(claims=["c9"]) == await bench.log(claims=[]) == b""
        assert await bench.log(claims=["c2"], tail=3) == b"ee\n"
        assert (await bench.ask("console-claims", boot="boot-2"))["claims"] == ["c2", None]


@pytest.mark.parametrize("boot", ["boot-1", None])
async def test_a_restart_goes_on_with_claim_and_screen(tmp_path: Path, boot: str | None):
    """After the end of the process the claim's log goes on, and its holder sees the screen of before."""
    async with kept(tmp_path, "c1", boot) as bench:
        bench.say(b"mine\r\n# ")
        await bench.recorded(b"# ")
    async with kept(tmp_path, "c1", boot) as bench:
        again = await bench.join("ann")
        assert await again.see(b"# ") == b"mine\r\n# "
        await again.type(b"ls")
        await again.see(b"ls")
        assert await bench.log(claims=["c1"]) == b"mine\r\n# ls"
    async with kept(tmp_path, "c2", boot) as bench:
        assert (await bench.join("bob")).attached["replay"] == 0
        assert await bench.log(claims=["c1"]) == b"mine\r\n# ls"
        assert await bench.log(claims=["c2"]) == b""


async def test_lines_are_found_by_pattern(tmp_path: Path):
    """A search tells boot, offset and time of each line; a bad pattern is refused."""
    async with kept(tmp_path, "c1", "boot-1") as bench:
        bench.say(b"good\r\n\x1b[31merror\x1b[0m 1\r\ngood\r\nerror 2")
        await bench.recorded(b"error 2")
        found = await bench.ask("console-search", boot="boot-1", search="^error [0-9]")
        assert [(row["offset"], row["line"]) for row in found["matches"]] == [(6, "error 1"), (30, "error 2")]
        assert found["complete"] is True
        assert abs(found["matches"][0]["time"] - (bench.console.broker.heard or 0)) < 60
        with pytest.raises(RequestRefusedError, match="is not a pattern"):
            await bench.ask("console-search", search="(")


async def test_a_kick_ends_sessions_and_a_notice_reaches_all(tmp_path: Path):
    """One is sent away by name, all but admins without a name; who stays is told what is to be told."""
    async with kept(tmp_path) as bench:
        ann, bob = await bench.join("ann"), await bench.join("bob", "read")
        root = await bench.join("root", "read", admin=True)
        assert await bench.ask("console-notice", text="ten minutes are left") == {"told": 3}
        for person in (ann, bob, root):
            assert (await person.told("notice"))["text"] == "ten minutes are left"
        assert await bench.ask("console-kick", principal="ann", text="go") == {"closed": 1}
        assert (await ann.told("ended"))["text"] == "go"
        await ann.gone()
        assert await bench.ask("console-kick", principal=None) == {"closed": 1}
        await bob.gone()
        await root.command("take")
        assert (await root.told("writer"))["writer"] is True
        assert await bench.ask("console-kick", principal="root") == {"closed": 1}


async def test_one_who_does_not_read_holds_up_nobody(tmp_path: Path):
    """A viewer whose stream is full is sent away all the same."""
    async with kept(tmp_path) as bench:
        await bench.join("ann", "read")
        for number in range(200):
            bench.say(b"%d\r\n" % number)
            await asyncio.sleep(0)
        assert await bench.ask("console-kick", principal=None) == {"closed": 1}
        async with asyncio.timeout(60):
            while bench.console.sessions.joined:
                await asyncio.sleep(0.01)


async def test_the_last_line_is_the_present_holders(tmp_path: Path):
    """What was said to one holder is not told under the next one; after a restart it is known again."""
    async with kept(tmp_path, boot="b-1") as bench:
        bench.say(b"Linux\r\nanna's secret\r\n")
        await bench.recorded(b"secret\r\n")
        (row,) = last_lines({"b1": bench.console})["lines"]
        assert (row["board"], row["line"], row["claim"]) == ("b1", "anna's secret", "c1")
        assert row["at"] == bench.console.broker.heard
    async with kept(tmp_path, boot="b-1") as bench:
        (row,) = last_lines({"b1": bench.console})["lines"]
        assert (row["line"], row["at"]) == ("anna's secret", None)
        await bench.hold(None)
        assert last_lines({"b1": bench.console})["lines"] == []
        bench.say(b" and bert's")
        await bench.recorded(b"bert's")
        (row,) = last_lines({"b1": bench.console})["lines"]
        assert (row["line"], row["claim"]) == ("and bert's", None)
