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
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from hostler.cli.words import plain
from hostler.client.console import ConsoleClosedError
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from hostler.cli.output import Output
    from hostler.client.client import Client
    from hostler.client.console import ConsoleSession

_ESCAPE = 0x1D  # Ctrl-], as telnet has it
_HELP = "Ctrl-] then: q leave, b send BREAK, t take the keyboard, ? all keys"
_ALL_KEYS = """Ctrl-] then:
  q   leave                          ]   send Ctrl-] itself (or Ctrl-] again)
  r   ask for the keyboard           t   take the keyboard, whoever has it
  g   hand the keyboard over: a viewer's number, or nothing for who asked, then Enter
  l   let go of the keyboard         w   who is joined
  b   send BREAK                     d   switch DTR and RTS off and on again: many boards reset
  c   power-cycle the board          1   power on          0   power off"""
# Firmware and boot loaders leave colours, a hidden cursor, no line wrap or bracketed paste behind.
_RESET = b"\x1b[0m\x1b[?25h\x1b[?7h\x1b[?2004l"
_RESET_SECONDS = 0.2
"""How long DTR and RTS are off: what boards with a reset on them need."""


class Key(Enum):
    """What a person asks of the terminal itself."""

    LEAVE = "q"
    TAKE = "t"
    REQUEST = "r"
    RELEASE = "l"
    WHO = "w"
    BREAK = "b"
    LINES = "d"
    CYCLE = "c"
    ON = "1"
    OFF = "0"
    HELP = "?"


@dataclass(frozen=True, slots=True)
class Give:
    """Hand the keyboard over to the viewer of that number; None: to who asked."""

    to: int | None


_KEYS = {ord(key.value): key for key in Key} | {ord("."): Key.LEAVE}
_POWER = {Key.CYCLE: "cycle", Key.ON: "on", Key.OFF: "off"}


class EscapeKeys:
    """Tells what is typed for the board from what is typed for us. Never loses or reorders a byte."""

    def __init__(self) -> None:
        self._escaped = False
        self._number: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[bytes | Key | Give]:
        """Yield bytes for the board, and keys for us, in the order typed."""
        held = bytearray()
        for byte in data:
            if self._number is not None:
                if byte in b"\r\n":
                    number, self._number = self._number, None
                    yield Give(int(number) if number else None)
                elif byte in b"0123456789" and len(self._number) < 9:
                    self._number.append(byte)
                else:  # thought better of it
                    self._number = None
                    yield Key.HELP
                continue
            if not self._escaped:
                if byte == _ESCAPE:
                    self._escaped = True
                else:
                    held.append(byte)
                continue
            self._escaped = False
            if byte in (_ESCAPE, ord("]")):
                held.append(_ESCAPE)
                continue
            if held:
                yield bytes(held)
                held.clear()
            if byte == ord("g"):
                self._number = bytearray()
            else:
                yield _KEYS.get(byte, Key.HELP)
        if held:
            yield bytes(held)


def size() -> tuple[int, int] | None:
    """Return columns and lines of this terminal, or None where there is none."""
    try:
        columns, lines = os.get_terminal_size(1)
    except OSError:
        return None
    return (columns, lines) if columns and lines else None


def join(client: Client, session: ConsoleSession, out: Output) -> int:
    """Join this terminal and the console until the person leaves or the server closes it."""
    out.note(f"hostler: console of {session.board}. {_HELP}")
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
            time.sleep(_RESET_SECONDS)
            session.command("lines", dtr=True, rts=True)
        case Key.CYCLE | Key.ON | Key.OFF:
            # Beside the typing: a switch takes seconds, and what the board says meanwhile is wanted.
            threading.Thread(target=_switch, args=(client, session.board, _POWER[typed]), daemon=True).start()
        case _:
            _notice({"text": _ALL_KEYS})


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

    Yields which signals came. The pipe is written, too: what is raised while garbage is collected is lost.
    """
    before = termios.tcgetattr(descriptor)
    killed: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        killed.append(number)
        os.write(wake, b"x")
        raise SystemExit(128 + number)

    handlers = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(descriptor)
        yield killed
    finally:
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


def describe(notice: dict[str, Any]) -> str:
    """Return a notice of the console in words."""
    if notice.get("text"):
        return str(notice["text"])
    match notice.get("event"):
        case "writer":
            return "you have the keyboard" if notice.get("writer") else "you type no more"
        case "viewers":
            rows = notice.get("viewers", [])
            return "\n".join(
                f"{row['viewer']:>3}  {row['principal']}{' (you)' if row['you'] else ''}"
                f"{'  has the keyboard' if row['writer'] else '' if row['may_write'] else '  looks on only'}"
                for row in rows
            )
        case "lines":
            states = (f"{name.upper()} {'on' if notice[name] else 'off'}" for name in ("dtr", "rts"))
            return ", ".join(states)
        case event:
            return str(event or "")


def print_bytes(data: bytes) -> None:
    """Print bytes as they are."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
