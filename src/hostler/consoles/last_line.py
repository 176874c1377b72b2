"""The last line a console shows, as plain text for a table of many boards."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LOOK_BYTES: Final = 2048
"""How much of what was said last is looked at: more than a line of any terminal, with all its colours."""
LONGEST: Final = 160
"""Signs of the line that are kept; a table has room for fewer."""

_MOVES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[ABEFHJSTdf]|[DEMc78])")
"""Moves to another line: what follows is not of the line before."""
_ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*(?:[@-~]|\Z)|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\|\Z)|[ -/]+[0-~]|[0-~]|\Z)"
)
_ENDS = re.compile(r"[\r\n\x0b\x0c\x85\u2028\u2029]")


def last_line(data: bytes) -> str:
    """Return the last line with something on it, or an empty text.

    A screen that is drawn and not written gives what was drawn last. Nothing is left that a terminal or a
    page would act on: no control characters, and none that turn the direction of text or take no room.

    Args:
        data: What was said last; it may begin and end anywhere.
    """
    plain = _ESCAPES.sub(b"", _MOVES.sub(b"\n", data[-LOOK_BYTES:])).decode(errors="replace")
    for line in reversed(_ENDS.split(plain)):
        seen = "".join(sign for sign in _rubbed_out(line) if _visible(sign))
        if seen := " ".join(seen.split()):
            return seen[:LONGEST]
    return ""


def _rubbed_out(line: str) -> str:
    """Carry out backspaces, with which shells edit what is typed."""
    if "\b" not in line:
        return line
    left: list[str] = []
    for sign in line:
        if sign != "\b":
            left.append(sign)
        elif left:
            left.pop()
    return "".join(left)


def _visible(sign: str) -> bool:
    """Tell whether a sign shows itself: not control, format, surrogate, private or nothing at all."""
    return sign in " \t" or unicodedata.category(sign)[0] != "C"
