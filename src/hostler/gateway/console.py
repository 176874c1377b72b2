"""A board's console by ssh: raw bytes both ways, and a word when it ends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from hostler.gateway.session import BREAK
from hostler.hub.errors import Refusal
from hostler.link.frames import BYTES, COMMAND, FrameError, Unpacker, pack
from hostler.link.port import LinkError, Stream

if TYPE_CHECKING:
    from hostler.gateway.login import Login
    from hostler.gateway.session import Session
    from hostler.hub.hub import Hub

DONE, FAILED, USAGE = 0, 1, 2

_ESCAPE = 0x1D  # Ctrl-], as telnet and `hostler console` have it
_HELP = "Ctrl-] then: q leave, t take the keyboard, b send BREAK, Ctrl-] send Ctrl-] itself"
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
        stream = await hub.metal.console(login.principal, board, write=write)
    except Refusal as refusal:
        session.say(refusal.detail)
        return FAILED
    joined = _Joined(stream, session, board, write=write)
    try:
        return await joined.run(hub, login, claim)
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

    def __init__(self, stream: Stream, session: Session, board: str, *, write: bool) -> None:
        self._stream = stream
        self._session = session
        self._board = board
        self._write = write
        self._escaped = False
        self._shown = asyncio.Event()

    async def run(self, hub: Hub, login: Login, claim: str | None) -> int:
        """Carry both ways; returns the exit status."""
        if self._session.terminal and self._write:
            self._session.say(f"console of {self._board}. {_HELP}")
        down = asyncio.ensure_future(self._down())
        up = asyncio.ensure_future(self._up())
        lost = asyncio.ensure_future(_lost(hub, login, self._board, claim))
        closed = asyncio.ensure_future(self._session.closed())
        tasks: set[asyncio.Future[Any]] = {down, up, lost, closed}
        try:
            await asyncio.wait(tasks | {login.over}, return_when=asyncio.FIRST_COMPLETED)
            if up.done() and not down.done() and not closed.done():
                return DONE
            if closed.done():
                return DONE
            # A claim's end closes the stream first and is on the disk a moment later.
            why = login.over.result() if login.over.done() else await _why(hub, login, self._board, claim)
            self._session.say(f"\n{why}")
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
                        self._shown.set()
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
        if notice.get("event") == "attached":
            if self._write and not notice.get("writer", True):
                self._session.say("somebody else has the keyboard; take it with Ctrl-] then t")
        elif notice.get("text"):
            self._session.say(f"[{notice['text']}]")

    async def _up(self) -> None:
        """Person to board; returns when they leave."""
        async for data in self._session.typed():
            if not self._write:
                if self._session.terminal and (b"\x03" in data or b"\x04" in data):
                    return
                continue
            if data == BREAK:
                await self._command("break")
            elif not self._session.terminal:
                # A serial console's Enter key is a carriage return; firmware menus know no other.
                await self._type(data.replace(b"\n", b"\r"))
            elif not await self._keys(data):
                return
        if not self._write:
            await self._session.closed()
        # What was piped in is typed; what the board says to it is still to come.
        while self._shown.is_set():
            self._shown.clear()
            await asyncio.sleep(_LINGER_SECONDS)

    async def _keys(self, data: bytes) -> bool:
        """Type what is for the board and do what is for us; False: they leave."""
        plain = bytearray()
        for byte in data:
            if not self._escaped and byte == _ESCAPE:
                self._escaped = True
                continue
            if not self._escaped or byte == _ESCAPE:
                self._escaped = False
                plain.append(byte)
                continue
            self._escaped = False
            await self._type(bytes(plain))
            plain.clear()
            key = chr(byte)
            if key in "q.":
                return False
            if key == "t":
                await self._command("take")
            elif key == "b":
                await self._command("break")
            else:
                self._session.say(_HELP)
        await self._type(bytes(plain))
        return True

    async def _type(self, data: bytes) -> None:
        if data:
            self._shown.set()
            await self._stream.write(pack(BYTES, data))

    async def _command(self, name: str) -> None:
        await self._stream.write(pack(COMMAND, json.dumps({"cmd": name}).encode()))


async def _lost(hub: Hub, login: Login, board: str, claim: str | None) -> None:
    """Return when the claim under which somebody joined holds the board no more."""
    if claim is None:
        await asyncio.get_running_loop().create_future()  # an admin on a board nobody holds: no claim ends it
    while True:
        version = hub.bells.version(f"board/{board}")
        record = hub.state.boards.get(board)
        held = hub.state.claims.get(claim or "")
        if record is None or held is None or record.claim != claim:
            return
        if not login.principal.admin and (board not in held.boards or held.state != "active"):
            return
        await hub.bells.wait(f"board/{board}", version, _LOOK_SECONDS)


async def _why(hub: Hub, login: Login, board: str, claim: str | None) -> str:
    """Say why a console ended."""
    if claim is not None:
        try:
            held = await hub.reading.claim(login.principal, claim)
        except Refusal:
            return f"claim {claim} has ended"
        if held.state not in ("active", "pending"):
            return f"claim {held.name or claim} is over: {held.reason}"
    return f"the lab has closed the console of {board}"
