"""Commands by ssh: the verbs of the command line, run here as whoever logged in, and their tokens.

``ssh lab@LAB claims`` runs one verb, lines on standard input run one each, and nothing at all gives a token.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import asyncssh

from hostler.gateway import limits
from hostler.gateway.api_door import URL
from hostler.gateway.limits import BusyError, Share
from hostler.hub.duration import seconds as duration
from hostler.hub.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.gateway.api_door import ApiDoor
    from hostler.gateway.login import Login
    from hostler.gateway.session import Session
    from hostler.hub.hub import Hub

DONE, FAILED, USAGE = 0, 1, 2
"""Exit status, as of the command line."""

TOKEN_SECONDS = 30 * 86400.0
"""How long a token lasts unless its owner says."""

_LINE_LIMIT = 16 * 1024
_STOP_SECONDS = 5.0
_BLOCK = 64 * 1024
_CTRL_C = b"\x03"
_TOKEN_WORDS = ("add", "list", "revoke", "remove", "show")


class _UsageError(Exception):
    pass


class Commands:
    """Runs commands.

    Args:
        hub: Makes tokens.
        door: Where verbs reach the API.
    """

    def __init__(self, hub: Hub, door: ApiDoor) -> None:
        self._hub = hub
        self._door = door
        self._verbs = Share("commands", limits.VERBS, limits.VERBS_EACH)

    async def serve(self, login: Login, session: Session) -> int:
        """Do what a session asks for; returns its exit status."""
        if session.command is not None:
            return await self._line(login, session, session.command, alone=True)
        if session.terminal:
            return await self._token(login, session, [])
        return await self._lines(login, session)

    async def _lines(self, login: Login, session: Session) -> int:
        """Run each line of standard input; the status is that of the last line that did not succeed."""
        held = bytearray()
        status: int | None = None
        async for data in session.typed():
            held += data
            *lines, rest = bytes(held).split(b"\n")
            held = bytearray(rest)
            if len(held) > _LINE_LIMIT:
                session.say(f"a line has at most {_LINE_LIMIT} bytes")
                return USAGE
            for line in lines:
                status = await self._next(login, session, line, status)
                if login.over.done():
                    return FAILED
        status = await self._next(login, session, bytes(held), status)
        return await self._token(login, session, []) if status is None else status

    async def _next(self, login: Login, session: Session, line: bytes, before: int | None) -> int | None:
        text = line.decode(errors="replace").strip()
        if not text or text.startswith("#"):
            return before
        status = await self._line(login, session, text, alone=False)
        return status or before or DONE

    async def _line(self, login: Login, session: Session, text: str, *, alone: bool) -> int:
        try:
            words = shlex.split(text)
        except ValueError as error:
            session.say(f"{text}: {error}")
            return USAGE
        if words[:1] == ["hostler"]:
            words.pop(0)
        if not words or (words[0] == "token" and not (len(words) > 1 and words[1] in _TOKEN_WORDS)):
            return await self._token(login, session, words[1:])
        try:
            with (
                self._verbs.one(login.principal.name),
                self._door.ticket(login.principal, login.source) as ticket,
            ):
                return await self._run(login, session, words, ticket, alone=alone)
        except BusyError as error:
            session.say(str(error))
            return FAILED

    # Tokens.

    async def _token(self, login: Login, session: Session, words: Sequence[str]) -> int:
        """Make a token and print it: there is no other time it is shown."""
        parser = _Parser(prog="token", add_help=False, allow_abbrev=False)
        parser.add_argument("--name", default="ssh")
        parser.add_argument("--expires", default=TOKEN_SECONDS, type=duration)
        parser.add_argument("--once", action="store_true")
        parser.add_argument("--role")
        parser.add_argument("--project")
        parser.add_argument("--json", action="store_true")
        try:
            args = parser.parse_args(words)
            until = time.time() + args.expires
            text = await self._hub.mint_token(
                login.principal, name=args.name, expires=until, once=args.once, role=args.role,
                project=args.project,
            )  # fmt: skip
        except _UsageError as error:
            session.say(f"{error}\nusage: token [--name N] [--expires 8h] [--once] [--role R] [--project P]")
            return USAGE
        except Refusal as error:
            session.say(error.detail)
            return FAILED
        if args.json:
            document = {"token": text, "principal": login.principal.name, "expires": until}
            await session.print(json.dumps(document) + "\n")
            return DONE
        await session.print(f"{text}\n")
        ends = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until))
        session.say(
            f"a token of {login.principal.name}, shown only this once; it ends {ends}. "
            "Use it as HOSTLER_TOKEN or with `hostler login URL --token -`"
        )
        return DONE

    # Verbs.

    async def _run(
        self, login: Login, session: Session, words: Sequence[str], ticket: str, *, alone: bool
    ) -> int:
        """Run one verb as a process; it ends with the session."""
        environment = {
            "HOSTLER_URL": URL,
            "HOSTLER_SOCKET": str(self._door.path),
            "HOSTLER_TOKEN": ticket,
            "HOME": "/nonexistent",
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "hostler.gateway.verb", *words,
            stdin=asyncio.subprocess.PIPE if alone else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment, cwd="/", start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        feeding = asyncio.ensure_future(_feed(session, process) if alone else session.closed())
        outputs = [
            asyncio.ensure_future(_show(process.stdout, session, error=False)),
            asyncio.ensure_future(_show(process.stderr, session, error=True)),
        ]
        closed = asyncio.ensure_future(session.closed())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait((ended, closed, login.over), return_when=asyncio.FIRST_COMPLETED)
            if login.over.done():
                session.say(login.over.result())
            if ended.done():
                await asyncio.wait(outputs, timeout=limits.LOGIN_SECONDS)
        finally:
            await _stop(process, ended)
            for task in (feeding, *outputs, closed):
                task.cancel()
            await asyncio.gather(feeding, *outputs, closed, return_exceptions=True)
        status = process.returncode or 0
        return status if status >= 0 else 128 - status


async def _feed(session: Session, process: asyncio.subprocess.Process) -> None:
    """Hand what the client types to a verb; Ctrl-C at a terminal interrupts it."""
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        async for data in session.typed():
            if session.terminal and _CTRL_C in data:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
                continue
            process.stdin.write(data)
            await process.stdin.drain()
    process.stdin.close()


async def _show(stream: asyncio.StreamReader, session: Session, *, error: bool) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await stream.read(_BLOCK):
            await session.write(session.lines(data), error=error)


async def _stop(process: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> None:
    """End a verb as Ctrl-C would, so that it tidies up; then for good."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if ended.done():
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        await asyncio.wait({ended}, timeout=_STOP_SECONDS)


class _Parser(argparse.ArgumentParser):
    """argparse that raises where it would end the whole server."""

    def error(self, message: str) -> NoReturn:
        """Raise _UsageError."""
        raise _UsageError(message)
