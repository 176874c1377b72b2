"""A board's console by ssh: raw bytes both ways, and a word when it ends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from hostler.gateway.session import BREAK
from hostler.hub import access
from hostler.hub.errors import Refusal
from hostler.link.frames import BYTES, COMMAND, FrameError, Unpacker, pack
from hostler.link.port import LinkError, Stream
from hostler.model.board import Lifecycle
from hostler.wire.console_keys import (
    ALL_KEYS,
    HELP,
    POWER_KEYS,
    RESET_SECONDS,
    EscapeKeys,
    Give,
    Key,
    describe,
)

if TYPE_CHECKING:
    from hostler.gateway.login import Login
    from hostler.gateway.session import Session
    from hostler.hub.hub import Hub

DONE, FAILED, USAGE = 0, 1, 2

_COMMANDS = {
    Key.TAKE: "take",
    Key.REQUEST: "request",
    Key.RELEASE: "release",
    Key.WHO: "viewers",
    Key.BREAK: "break",
}
_CTRL_C, _CTRL_D = b"\x03", b"\x04"
_LAST_WORDS_SECONDS = 0.5
_LOOK_SECONDS = 2.0
_LINGER_SECONDS = 2.0
"""Input that is no terminal's has ended: leave when the board was silent so long."""


async def serve_console(hub: Hub, login: Login, session: Session) -> int:
    """Join a session to the console its user name names, until either side ends it.

    With the command ``--follow``, or where they may only look, they only read. Returns the exit status.
    """
    if session.command not in (None, "--follow"):
        session.say("a console takes no command; commands are: ssh lab@LAB COMMAND. Only read with: --follow")
        return USAGE
    write = session.command is None
    try:
        board = await _board(hub, login)
        claim = hub.reading.board(board).claim
        columns, lines = session.size
        stream = await hub.metal.console(login.principal, board, write=write, columns=columns, lines=lines)
    except Refusal as refusal:
        session.say(refusal.detail)
        return FAILED
    joined = _Joined(hub, login, session, board, stream, write=write)
    try:
        return await joined.run(claim)
    finally:
        await stream.close()


async def _board(hub: Hub, login: Login) -> str:
    """Return the board a user name means: its own name, or that of a claim of one board."""
    name = login.user
    if name in hub.state.boards:
        return name
    claim = await hub.reading.claim(login.principal, name)
    if len(claim.boards) != 1:
        held = ", ".join(claim.boards) or "none yet"
        raise Refusal(f'claim "{name}" holds these boards: {held}; say which: ssh BOARD@LAB')
    return claim.boards[0]


class _Joined:
    """A session on a console."""

    def __init__(
        self, hub: Hub, login: Login, session: Session, board: str, stream: Stream, *, write: bool
    ) -> None:
        self._hub = hub
        self._login = login
        self._session = session
        self._board = board
        self._stream = stream
        self._write = write
        self._keys = EscapeKeys()
        self._heard = asyncio.Event()
        self._ended = ""

    async def run(self, claim: str | None) -> int:
        """Carry both ways; returns the exit status."""
        if self._session.terminal and self._write:
            self._session.notice(f"console of {self._board}. {HELP}")
        down = asyncio.ensure_future(self._down())
        up = asyncio.ensure_future(self._up())
        lost = asyncio.ensure_future(_lost(self._hub, self._login, self._board, claim))
        closed = asyncio.ensure_future(self._session.closed())
        tasks: set[asyncio.Future[Any]] = {down, up, lost, closed}
        over = self._login.over
        try:
            await asyncio.wait(tasks | {over}, return_when=asyncio.FIRST_COMPLETED)
            if closed.done() or (up.done() and not (down.done() or lost.done() or over.done())):
                return DONE
            if not (over.done() or self._ended):
                # The rack, too, says why it closes a console: it may be about to.
                await asyncio.wait((down,), timeout=_LAST_WORDS_SECONDS)
            self._session.notice(over.result() if over.done() else self._ended or await self._why(claim))
            return FAILED
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _down(self) -> None:
        """Board to person."""
        unpacker = Unpacker()
        try:
            while data := await self._stream.read():
                for channel, payload in unpacker.feed(data):
                    if channel == BYTES:
                        self._heard.set()
                        await self._session.write(payload)
                    elif channel == COMMAND:
                        self._notice(payload)
        except (LinkError, FrameError):
            return

    def _notice(self, payload: bytes) -> None:
        try:
            notice = json.loads(payload)
        except ValueError:
            return
        event = notice.get("event")
        if event == "ended":
            self._ended = str(notice.get("text", ""))
        elif event != "attached":
            self._session.notice(describe(notice))
        elif self._write and not notice.get("writer", True):
            holder = notice.get("keyboard") or "somebody else"
            self._session.notice(f"{holder} has the keyboard; ask for it with Ctrl-] then r")

    async def _up(self) -> None:
        """Person to board; returns when they leave."""
        try:
            await self._hear()
        except LinkError:
            await asyncio.get_running_loop().create_future()  # the other way knows why it is over

    async def _hear(self) -> None:
        async for data in self._session.typed():
            if not self._write:
                if self._session.terminal and (_CTRL_C in data or _CTRL_D in data):
                    return
            elif data == BREAK:
                await self._command("break")
            elif not self._session.terminal:
                # A serial console's Enter key is a carriage return; firmware menus know no other.
                await self._type(data.replace(b"\n", b"\r"))
            else:
                for typed in self._keys.feed(data):
                    if typed is Key.LEAVE:
                        return
                    await self._obey(typed)
        if not self._write:
            await self._session.closed()
        # What was piped in is typed; what the board says to it is still to come.
        while self._heard.is_set():
            self._heard.clear()
            await asyncio.sleep(_LINGER_SECONDS)

    async def _obey(self, typed: bytes | Key | Give) -> None:
        """Do what one key asks for."""
        match typed:
            case bytes():
                await self._type(typed)
            case Give(to=number):
                await self._command("give", **({} if number is None else {"to": number}))
            case Key.TAKE | Key.REQUEST | Key.RELEASE | Key.WHO | Key.BREAK:
                await self._command(_COMMANDS[typed])
            case Key.LINES:
                await self._command("lines", dtr=False, rts=False)
                await asyncio.sleep(RESET_SECONDS)
                await self._command("lines", dtr=True, rts=True)
            case Key.CYCLE | Key.ON | Key.OFF:
                await self._switch(POWER_KEYS[typed])
            case _:
                self._session.notice(ALL_KEYS)

    async def _switch(self, action: str) -> None:
        try:
            await self._hub.power(self._login.principal, self._board, action)
        except Refusal as refusal:
            self._session.notice(refusal.detail)
        else:
            self._session.notice(f"power {action} is under way")

    async def _type(self, data: bytes) -> None:
        self._heard.set()
        await self._stream.write(pack(BYTES, data))

    async def _command(self, name: str, **words: object) -> None:
        await self._stream.write(pack(COMMAND, json.dumps({"cmd": name, **words}).encode()))

    async def _why(self, claim: str | None) -> str:
        """Say why the console ended, when nobody else did."""
        if claim is not None:
            try:
                held = await self._hub.reading.claim(self._login.principal, claim)
            except Refusal:
                return f"claim {claim} has ended"
            if held.state not in ("active", "pending"):
                return f"claim {held.name or claim} is over: {held.reason}"
        return f"the lab has closed the console of {self._board}"


async def _lost(hub: Hub, login: Login, board: str, claim: str | None) -> None:
    """Return when the claim under which somebody joined lets them look no more."""
    while True:
        version = hub.bells.version(f"board/{board}")
        # What ends an admin's look is the rack, which knows the board's next holder.
        if not login.principal.admin:
            record = hub.state.boards.get(board)
            held = hub.state.claims.get(claim or "")
            if record is None or record.claim != claim or record.lifecycle is not Lifecycle.CLAIMED:
                return
            if held is None or not access.may_watch(login.principal, held):
                return
        await hub.bells.wait(f"board/{board}", version, _LOOK_SECONDS)
