"""Who is joined to a console, and what each may tell it and the others.

Commands are JSON objects ``{"cmd": …}``, answers and notices ``{"event": …}``:

============  ==========================================================================================
``take``      take the keyboard, whoever has it
``request``   ask whoever has it to hand it over; if nobody has it, take it
``give``      hand it over to ``"to": number``; without, to who asked last
``release``   type no more
``viewers``   who is joined: ``{"event": "viewers", "viewers": […]}``
``break``     send BREAK
``lines``     ``"dtr"``, ``"rts"``: true or false
``line``      ``"baud"``, ``"data_bits"``, ``"parity"``, ``"stop_bits"``, ``"flow"``; answered with what holds
============  ==========================================================================================

An answer has the ``"id"`` of its command, if that has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from hostler.consoles.broker import ConsoleDownError, Writer, WriterTakenError
from hostler.consoles.keyboard import KeyboardLentError
from hostler.link.frames import BYTES, COMMAND, Unpacker, pack
from hostler.link.port import LinkError
from hostler.wire.rfc2217 import FLOW, PARITY, LineSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.consoles.broker import ConsoleBroker
    from hostler.consoles.ring import Viewer
    from hostler.link.port import Stream

_TELL_SECONDS = 1.0
"""How long one who does not read may hold up what others do."""
_COMMANDS = ("take", "request", "give", "release", "viewers", "break", "lines", "line")
_ONLY_READING = "you are only reading; take the keyboard to type"


class Sessions:
    """Everybody joined to one console."""

    def __init__(self) -> None:
        self.joined: dict[int, Session] = {}
        self.asked_by: int | None = None
        """Number of the session that asked for the keyboard last."""
        self.left: float | None = None
        """Unix time somebody left last."""
        self._numbers = 0

    def add(self, session: Session) -> int:
        """Let somebody in; returns their number."""
        self._numbers += 1
        self.joined[self._numbers] = session
        return self._numbers

    def remove(self, number: int) -> None:
        """Forget who has left."""
        self.joined.pop(number, None)
        self.left = time.time()
        if self.asked_by == number:
            self.asked_by = None

    def writing(self) -> Session | None:
        """Return who types, or None."""
        return next((one for one in self.joined.values() if one.writes), None)

    def cut_off(self) -> None:
        """Show nothing more to anybody but admins, and take nothing more from them."""
        for session in self.joined.values():
            if not session.admin:
                session.cut_off()

    async def send_away(self, principal: str | None, why: str) -> int:
        """End the sessions of somebody, or of everybody but the admins; returns how many there were."""
        gone = [
            session
            for session in self.joined.values()
            if (session.principal == principal if principal is not None else not session.admin)
        ]
        async with asyncio.TaskGroup() as tasks:
            for session in gone:
                tasks.create_task(session.end(why))
        return len(gone)

    async def notice(self, text: str) -> int:
        """Tell everybody something; returns how many were told."""
        told = tuple(self.joined.values())
        async with asyncio.TaskGroup() as tasks:
            for session in told:
                tasks.create_task(session.tell_soon(event="notice", text=text))
        return len(told)


class Session:
    """One viewer joined to a console.

    Args:
        broker: The console's.
        others: Who is joined beside this one.
        stream: The viewer's end.
        principal: Who it is.
        admin: Whether they stay when the board changes hands.
        may_write: Whether they may have the keyboard at all.
    """

    def __init__(
        self,
        broker: ConsoleBroker,
        others: Sessions,
        stream: Stream,
        principal: str,
        *,
        admin: bool,
        may_write: bool,
    ) -> None:
        self._broker = broker
        self._others = others
        self._stream = stream
        self.may_write = may_write
        self._writer: Writer | None = None
        self._line_before: LineSettings | None = None
        self.principal = principal
        self.admin = admin
        self.since = time.time()
        self.over = False
        """Nothing more is shown to this one, and nothing taken from it."""
        self.number = others.add(self)

    @property
    def writes(self) -> bool:
        """Whether this one has the keyboard."""
        return self._writer is not None and self._broker.keyboard.writer is self._writer

    def take(self) -> bool:
        """Take the keyboard if nobody has it."""
        if self.may_write and not self.over:
            with contextlib.suppress(WriterTakenError):
                self._writer = self._broker.take(self.principal)
        return self.writes

    def cut_off(self) -> None:
        """Show nothing more to this one, and take nothing more from it."""
        self.over = True
        self._let_go()

    def _let_go(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    async def leave(self) -> None:
        """Give back what this one has."""
        self._others.remove(self.number)
        self._let_go()
        before, self._line_before = self._line_before, None
        if before is not None:
            with contextlib.suppress(ConsoleDownError):
                await self._broker.set_line(before)

    async def tell(self, **words: object) -> None:
        """Send a notice; raises LinkError when the viewer is gone."""
        await self._stream.write(pack(COMMAND, json.dumps(words).encode()))

    async def tell_soon(self, **words: object) -> None:
        """Send a notice, unless the viewer is gone or does not read."""
        with contextlib.suppress(TimeoutError, LinkError):
            async with asyncio.timeout(_TELL_SECONDS):
                await self.tell(**words)

    async def end(self, why: str) -> None:
        """Close the session; from now on it counts for nobody."""
        self.over = True
        await self.leave()
        await self.tell_soon(event="ended", text=why)
        await self._stream.close()

    async def show(self, viewer: Viewer, replay: bytes) -> None:
        """Send what the console said and says until the viewer leaves."""
        if replay:
            await self._stream.write(pack(BYTES, replay))
        while (data := await viewer.read()) and not self.over:
            await self._stream.write(pack(BYTES, data))

    async def hear(self) -> None:
        """Type what the viewer types, and do as it commands, until it leaves."""
        unpacker = Unpacker()
        while data := await self._stream.read():
            for channel, payload in unpacker.feed(data):
                if self.over:
                    return
                if channel == BYTES:
                    await self._as_writer({}, partial(Writer.write, data=payload))
                elif channel == COMMAND:
                    await self._command(payload)

    async def _command(self, payload: bytes) -> None:
        try:
            words = json.loads(payload)
            command = words.get("cmd")
        except (ValueError, AttributeError):
            words, command = {}, None
        match command:
            case "take":
                await self._take(words)
            case "request":
                await self._request(words)
            case "give":
                await self._give(words)
            case "release":
                await self._release(words)
            case "viewers":
                await self._viewers(words)
            case "break":
                await self._break(words)
            case "lines":
                await self._lines(words)
            case "line":
                await self._line(words)
            case _:
                names = ", ".join(f'{{"cmd": "{name}"}}' for name in _COMMANDS)
                await self._answer(words, event="refused", text=f"the commands are: {names}")

    async def _answer(self, words: dict[str, Any], **answer: object) -> None:
        await self.tell(**({"id": words["id"]} if "id" in words else {}), **answer)

    async def _as_writer(
        self, words: dict[str, Any], action: Callable[[Writer], Awaitable[object]]
    ) -> object | None:
        """Do something that takes the keyboard; returns its result, None when it was refused."""
        if self._writer is None:
            await self._answer(words, event="refused", text=_ONLY_READING)
            return None
        try:
            return await action(self._writer) or True
        except KeyboardLentError as error:
            await self._answer(words, event="refused", text=str(error))
        except WriterTakenError as error:
            self._writer = None
            await self._answer(words, event="taken", text=str(error))
        except ConsoleDownError as error:
            await self._answer(words, event="refused", text=str(error))
        return None

    async def _permitted(self, words: dict[str, Any]) -> bool:
        if not self.may_write:
            await self._answer(words, event="refused", text="this board is shared with you to look on only")
        return self.may_write

    async def _take(self, words: dict[str, Any]) -> None:
        if not await self._permitted(words):
            return
        before = self._others.writing()
        if before is not self:
            self._writer = self._broker.take(self.principal, steal=True)
            if before is not None:
                await before.lose(f"{self.principal} took the keyboard")
        await self._answer(words, event="writer", writer=True)

    def receive(self, writer: Writer) -> None:
        """Have the keyboard from now on."""
        self._writer = writer

    async def lose(self, text: str) -> None:
        """Tell this one that it has the keyboard no more."""
        self._writer = None
        await self.tell_soon(event="taken", text=text, writer=False)

    async def _request(self, words: dict[str, Any]) -> None:
        if not await self._permitted(words):
            return
        holder = self._others.writing()
        if holder is None or holder is self:
            await self._take(words)
            return
        self._others.asked_by = self.number
        await holder.tell_soon(
            event="asked",
            by=self.principal,
            viewer=self.number,
            text=f"{self.principal} asks for the keyboard; hand it over, or go on",
        )
        await self._answer(words, event="waiting", text=f"{holder.principal} is asked for the keyboard")

    async def _give(self, words: dict[str, Any]) -> None:
        number = words.get("to", self._others.asked_by)
        other = self._others.joined.get(number) if isinstance(number, int) else None
        if not self.writes or self._writer is None:
            await self._answer(words, event="refused", text=_ONLY_READING)
        elif other is None or other is self:
            text = "nobody asks for the keyboard; say to whom" if number is None else "nobody has that number"
            await self._answer(words, event="refused", text=text)
        elif not other.may_write:
            await self._answer(words, event="refused", text=f"{other.principal} may look on only")
        else:
            other.receive(self._broker.keyboard.hand_over(self._writer, other.principal))
            self._writer = None
            self._others.asked_by = None
            await other.tell_soon(event="writer", writer=True, text=f"{self.principal} gave you the keyboard")
            await self._answer(words, event="writer", writer=False, text=f"{other.principal} has it now")

    async def _release(self, words: dict[str, Any]) -> None:
        self._let_go()
        await self._answer(words, event="writer", writer=False)

    async def _viewers(self, words: dict[str, Any]) -> None:
        rows = [
            {
                "viewer": number,
                "principal": one.principal,
                "writer": one.writes,
                "since": one.since,
                "you": one is self,
                "may_write": one.may_write,
            }
            for number, one in self._others.joined.items()
        ]
        await self._answer(words, event="viewers", viewers=rows)

    async def _break(self, words: dict[str, Any]) -> None:
        if await self._as_writer(words, Writer.send_break) and "id" in words:
            await self._answer(words, event="done")

    async def _lines(self, words: dict[str, Any]) -> None:
        switched = {name: words[name] for name in ("dtr", "rts") if isinstance(words.get(name), bool)}
        if await self._as_writer(words, lambda writer: writer.set_lines(**switched)):
            await self._answer(words, event="lines", **switched)

    async def _line(self, words: dict[str, Any]) -> None:
        try:
            wanted = _settings(words)
        except ValueError as error:
            await self._answer(words, event="refused", text=str(error))
            return

        async def set_line(writer: Writer) -> tuple[LineSettings | None]:
            if self._line_before is None:
                self._line_before = await writer.set_line(LineSettings())
            return (await writer.set_line(wanted),)

        done = await self._as_writer(words, set_line)
        if isinstance(done, tuple):
            known = {} if done[0] is None else asdict(done[0])
            await self._answer(words, event="line", known=bool(known), **known)


def _settings(words: dict[str, Any]) -> LineSettings:
    """Read what a line is to be; raises ValueError naming what is wrong."""
    checks: dict[str, Callable[[Any], bool]] = {
        "baud": lambda value: type(value) is int and 0 < value < 1 << 32,
        "data_bits": lambda value: type(value) is int and 5 <= value <= 8,
        "parity": lambda value: isinstance(value, str) and value in PARITY,
        "stop_bits": lambda value: type(value) is int and value in (1, 2),
        "flow": lambda value: isinstance(value, str) and value in FLOW,
    }
    for name, good in checks.items():
        if words.get(name) is not None and not good(words[name]):
            raise ValueError(f"{name} cannot be {words[name]!r}")
    return LineSettings(**{name: words.get(name) for name in checks})
