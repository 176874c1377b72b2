"""What a person at a console types for us and not for the board, and the console's notices in words.

Ctrl-] comes before a key for us, as telnet has it; see ``ALL_KEYS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE = 0x1D

HELP = "Ctrl-] then: q leave, b send BREAK, t take the keyboard, ? all keys"
ALL_KEYS = """Ctrl-] then:
  q   leave                          ]   send Ctrl-] itself (or Ctrl-] again)
  r   ask for the keyboard           t   take the keyboard, whoever has it
  g   hand the keyboard over: a viewer's number, or nothing for who asked, then Enter
  l   let go of the keyboard         w   who is joined
  b   send BREAK                     d   switch DTR and RTS off and on again: many boards reset
  c   power-cycle the board          1   power on          0   power off"""

RESET_SECONDS = 0.2
"""How long DTR and RTS are off: what boards with a reset on them need."""


class Key(Enum):
    """What a person asks of the console itself."""

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
POWER_KEYS = {Key.CYCLE: "cycle", Key.ON: "on", Key.OFF: "off"}
"""What is asked of the board's power."""


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


def describe(notice: dict[str, Any]) -> str:
    """Return a notice of the console (``rack/console_sessions.py``) in words."""
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
