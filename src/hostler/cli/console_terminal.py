"""This terminal as a board's console: raw, with a key of its own for what is not meant for the board."""

from __future__ import annotations

import os
import select
import signal
import termios
import threading
import time
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hostler.cli.words import plain
from hostler.client.console import ConsoleClosedError
from hostler.client.errors import ClientError
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
    from collections.abc import Iterator
    from types import FrameType

    from hostler.cli.output import Output
    from hostler.client.client import Client
    from hostler.client.console import ConsoleSession

# Firmware and boot loaders leave colours, a hidden cursor, no line wrap or bracketed paste behind.
_RESET = b"\x1b[0m\x1b[?25h\x1b[?7h\x1b[?2004l"


def size() -> tuple[int, int] | None:
    """Return columns and lines of this terminal, or None where there is none."""
    try:
        columns, lines = os.get_terminal_size(1)
    except OSError:
        return None
    return (columns, lines) if columns and lines else None


def join(client: Client, session: ConsoleSession, out: Output) -> int:
    """Join this terminal and the console until the person leaves or the server closes it."""
    out.note(f"hostler: console of {session.board}. {HELP}")
    if not session.attached.get("writer", True):
        holder = session.attached.get("keyboard") or "somebody else"
        out.note(f"hostler: {holder} has the keyboard; ask for it with Ctrl-] then r")
    wake_read, wake_write = os.pipe()
    stop = threading.Event()
    ended: list[BaseException] = []

    def print_output() -> None:
        try:
            while not stop.is_set():
                print_bytes(session.read(0.2))
                while session.notices:
                    _notice(session.notices.pop(0))
        except (ClientError, OSError) as error:
            ended.append(error)
        finally:
            os.write(wake_write, b"x")

    reader = threading.Thread(target=print_output, name="console-output", daemon=True)
    keys = EscapeKeys()
    try:
        with _raw(0, wake_write) as killed:
            reader.start()
            _type(client, session, keys, wake_read)
            if killed:
                raise SystemExit(128 + killed[0])
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


def _type(client: Client, session: ConsoleSession, keys: EscapeKeys, wake: int) -> None:
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
            _obey(client, session, typed)


def _obey(client: Client, session: ConsoleSession, typed: bytes | Key | Give) -> None:
    """Do what one key asks for."""
    match typed:
        case bytes():
            session.send(typed)
        case Give(to=None):
            session.command("give")
        case Give(to=number):
            session.command("give", to=number)
        case Key.TAKE:
            session.take()
        case Key.REQUEST:
            session.command("request")
        case Key.RELEASE:
            session.command("release")
        case Key.WHO:
            session.command("viewers")
        case Key.BREAK:
            session.send_break()
        case Key.LINES:
            session.command("lines", dtr=False, rts=False)
            time.sleep(RESET_SECONDS)
            session.command("lines", dtr=True, rts=True)
        case Key.CYCLE | Key.ON | Key.OFF:
            # Beside the typing: a switch takes seconds, and what the board says meanwhile is wanted.
            threading.Thread(
                target=_switch, args=(client, session.board, POWER_KEYS[typed]), daemon=True
            ).start()
        case _:
            _notice({"text": ALL_KEYS})


def _switch(client: Client, board: str, action: str) -> None:
    try:
        client.set_power(board, action)
    except ClientError as error:
        _notice({"text": str(error)})
    else:
        _notice({"text": f"power {action} is under way"})


@contextmanager
def _raw(descriptor: int, wake: int) -> Iterator[list[int]]:
    """Put a terminal in raw mode; put it back whatever ends the block, a kill that can be caught included.

    Yields which signals came. The pipe is written, too, by the interpreter itself: a signal that comes just
    before the wait begins would else be looked at after it.
    """
    before = termios.tcgetattr(descriptor)
    killed: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        killed.append(number)
        raise SystemExit(128 + number)

    handlers = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    os.set_blocking(wake, False)
    waker = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)  # flushing would lose what is typed already
        yield killed
    finally:
        signal.set_wakeup_fd(waker)
        try:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            os.write(1, _RESET)
        except (OSError, termios.error):
            pass  # the terminal itself has gone
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _notice(notice: dict[str, Any]) -> None:
    """Print a notice between what the board says."""
    text = "".join(f"\r\n[hostler: {plain(line)}]" for line in describe(notice).splitlines())
    os.write(2, f"{text}\r\n".encode())


def print_bytes(data: bytes) -> None:
    """Print bytes as they are."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
