"""The verb console: a raw terminal on a board's serial console, or a pipe to it."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.console import ConsoleClosedError
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from types import FrameType

    from hostler.cli.output import Output
    from hostler.client.console import ConsoleSession

_ESCAPE = 0x1D  # Ctrl-], as telnet has it
_HELP = "Ctrl-] then: q leave, t take the keyboard, b send BREAK, Ctrl-] send Ctrl-] itself"
# Firmware and boot loaders leave colours, a hidden cursor, no line wrap or bracketed paste behind.
_RESET = b"\x1b[0m\x1b[?25h\x1b[?7h\x1b[?2004l"


class Key(Enum):
    """What a person asks of the terminal itself."""

    LEAVE = "q"
    TAKE = "t"
    BREAK = "b"
    HELP = "?"


_KEYS = {ord("q"): Key.LEAVE, ord("."): Key.LEAVE, ord("t"): Key.TAKE, ord("b"): Key.BREAK}


class EscapeKeys:
    """Tells what is typed for the board from what is typed for us. Never loses or reorders a byte."""

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[bytes | Key]:
        """Yield bytes for the board, and keys for us, in the order typed."""
        plain = bytearray()
        for byte in data:
            if not self._escaped:
                if byte == _ESCAPE:
                    self._escaped = True
                else:
                    plain.append(byte)
                continue
            self._escaped = False
            if byte == _ESCAPE:
                plain.append(byte)
                continue
            if plain:
                yield bytes(plain)
                plain.clear()
            yield _KEYS.get(byte, Key.HELP)
        if plain:
            yield bytes(plain)


def _console_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--follow", action="store_true", help="only read, until Ctrl-C")
    parser.add_argument(
        "--linger",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="with input from a pipe: leave when the board was silent that long after its end (default 2)",
    )


def console(args: argparse.Namespace, out: Output) -> int:
    """Attach to a board's console."""
    with Client() as client, client.console(args.board, write=not args.follow) as session:
        show = _json_printer(session, out) if args.json else _print_bytes
        if args.follow:
            return _follow(session, out, show)
        if sys.stdin.isatty() and not args.json:
            return _terminal(session, out)
        return _pipe(session, show, args.linger)


def _follow(session: ConsoleSession, out: Output, show: Callable[[bytes], None]) -> int:
    out.note(f"hostler: reading the console of {session.board}; leave with Ctrl-C")
    try:
        while True:
            show(session.read(1.0))
    except KeyboardInterrupt:
        return 0


def _pipe(session: ConsoleSession, show: Callable[[bytes], None], linger: float) -> int:
    """Type what comes from standard input, print what the board says, leave when both have ended."""
    ended = threading.Event()
    failed: list[ClientError] = []

    def type_input() -> None:
        try:
            while data := os.read(0, 4096):
                # A serial console's Enter key is a carriage return; firmware menus know no other.
                session.send(data.replace(b"\n", b"\r"))
        except ClientError as error:
            failed.append(error)
        finally:
            ended.set()

    threading.Thread(target=type_input, name="console-input", daemon=True).start()
    last = time.monotonic()
    while not (ended.is_set() and time.monotonic() - last >= linger):
        if not ended.is_set():
            last = time.monotonic()
        data = session.read(min(0.2, linger))
        if data:
            last = time.monotonic()
        show(data)
    if failed:
        raise failed[0]
    return 0


def _terminal(session: ConsoleSession, out: Output) -> int:
    """Join this terminal and the console until the person leaves or the server closes it."""
    out.note(f"hostler: console of {session.board}. {_HELP}")
    if not session.attached.get("writer", True):
        out.note("hostler: somebody else has the keyboard; take it with Ctrl-] then t")
    wake_read, wake_write = os.pipe()
    stop = threading.Event()
    ended: list[BaseException] = []

    def print_output() -> None:
        try:
            while not stop.is_set():
                _print_bytes(session.read(0.2))
                while session.notices:
                    _notice(session.notices.pop(0))
        except (ClientError, OSError) as error:
            ended.append(error)
        finally:
            os.write(wake_write, b"x")

    reader = threading.Thread(target=print_output, name="console-output", daemon=True)
    keys = EscapeKeys()
    try:
        with _raw(0):
            reader.start()
            _type(session, keys, wake_read)
            stop.set()
            reader.join(2)
    finally:
        stop.set()
    out.note("\nhostler: left the console" if not ended else "")
    for error in ended:
        if isinstance(error, ClientError):
            raise error
        raise ConsoleClosedError(str(error))
    return 0


def _type(session: ConsoleSession, keys: EscapeKeys, wake: int) -> None:
    """Send what is typed until the person leaves, standard input ends or ``wake`` becomes readable."""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            return
        data = os.read(0, 4096)
        if not data:
            return
        for typed in keys.feed(data):
            if typed is Key.LEAVE:
                return
            if typed is Key.TAKE:
                session.take()
            elif typed is Key.BREAK:
                session.send_break()
            elif typed is Key.HELP:
                _notice({"text": _HELP})
            elif isinstance(typed, bytes):
                session.send(typed)


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Put a terminal in raw mode; put it back whatever ends the block, a kill that can be caught included."""
    before = termios.tcgetattr(descriptor)
    handlers = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(descriptor)
        yield
    finally:
        try:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            os.write(1, _RESET)
        except (OSError, termios.error):
            pass  # the terminal itself has gone
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _notice(notice: dict[str, object]) -> None:
    text = notice.get("text") or notice.get("event") or ""
    os.write(2, f"\r\n[hostler: {text}]\r\n".encode())


def _print_bytes(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _json_printer(session: ConsoleSession, out: Output) -> Callable[[bytes], None]:
    """Return what prints console bytes as one JSON document each."""
    import codecs

    out.document(session.attached)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(data: bytes) -> None:
        while session.notices:
            out.document(session.notices.pop(0))
        if text := decoder.decode(data):
            out.document({"event": "output", "text": text})

    return show


VERBS = {"console": (_console_arguments, console)}
