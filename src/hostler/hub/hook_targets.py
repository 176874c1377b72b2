"""Telling one event: a POST that somebody signs for, or a program that ends well."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp

import hostler
from hostler.model.hook import signature
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.records import Event, Hook
    from hostler.model.json import Document

POST_SECONDS = 10.0
"""Longest time a post may take; who needs longer answers first and works afterwards."""

COMMAND_SECONDS = 60.0
"""Longest time a program may take; sending a mail through a slow relay takes half of it."""

_OUTPUT = 64 * 1024  # bytes of a program's output that are read; the last of them tell why it failed
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME")


@dataclass(frozen=True, slots=True)
class Told:
    """What came of telling an event once: whether it arrived, and what was answered, for people."""

    ok: bool
    text: str


def event_document(lab: str, event: Event) -> Document:
    """Return what a hook is told."""
    data = event.data.get("data", {}) if event.trace else event.data
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "lab": lab, "seq": event.seq, "at": at, "kind": event.kind, "text": event.text,
        "board": event.board, "boot": event.boot, "run": event.run, "claim": event.claim,
        "principal": event.principal, "data": data,
    }  # fmt: skip


async def post(
    session: aiohttp.ClientSession, hook: Hook, document: Document, reveal: Callable[[str], str]
) -> Told:
    """Post an event; an answer of 2xx within the time means that it arrived."""
    body = json.dumps(document, separators=(",", ":")).encode()
    message_id, timestamp = f"{document['lab']}-{document['seq']}", int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Hostler/{hostler.__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
    }
    try:
        if hook.secret:
            headers["webhook-signature"] = signature(reveal(hook.secret), message_id, timestamp, body)
        async with session.post(
            hook.url, data=body, headers=headers, allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=POST_SECONDS),
        ) as answer:  # fmt: skip
            if 300 <= answer.status < 400:
                return Told(False, f"answered {answer.status}: no redirect is followed; correct the address")
            return Told(200 <= answer.status < 300, f"answered {answer.status}")
    except TimeoutError:
        return Told(False, f"no answer within {POST_SECONDS:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Told(False, printable(str(error) or type(error).__name__, 300))


async def run(hook: Hook, document: Document) -> Told:
    """Run a hook's command with the event on its standard input; exit status 0 means that it arrived."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    for key, value in document.items():
        if isinstance(value, (str, int)):
            # No environment can carry a zero byte; what boards say may.
            environment[f"HOSTLER_EVENT_{key.upper()}"] = printable(str(value))
    try:
        process = await asyncio.create_subprocess_exec(
            *hook.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, env=environment, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        return Told(False, f"{hook.command[0]}: {getattr(error, 'strerror', None) or error}")
    body = json.dumps(document).encode() + b"\n"
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output = await _talk(process, body)
            status = await process.wait()
    except TimeoutError:
        return Told(False, f"{hook.command[0]} did not end within {COMMAND_SECONDS:g} s and was killed")
    finally:
        # What it started and left behind ends with it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    last = printable(output.decode(errors="replace").strip()[-300:].replace("\n", " "))
    return Told(status == 0, f"exit status {status}" + (f": {last}" if last else ""))


async def _talk(process: asyncio.subprocess.Process, body: bytes) -> bytes:
    """Hand over the event and read what is said; the last bytes of it are kept."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it does not care for its input
        process.stdin.write(body)
        await process.stdin.drain()
        process.stdin.close()
    output = b""
    while block := await process.stdout.read(_OUTPUT):
        output = (output + block)[-_OUTPUT:]
    return output
