"""What one who follows all boards is told of their consoles: the last line of those they may join."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from hostler.api.documents import iso_or_none
from hostler.api.sse import message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.hub.last_lines import LastLine, LastLines
    from hostler.hub.records import Principal


class LineNews:
    """Remembers what one follower was shown, so that it is taken back when it is not for them any more.

    Of a console that is not theirs they are told nothing, not even that it said something.

    Args:
        lines: The lines of all consoles.
        caller: Who follows.
    """

    def __init__(self, lines: LastLines, caller: Principal) -> None:
        self._lines = lines
        self._caller = caller
        self._number = 0
        self._shown: dict[str, str] = {}

    def text(self, boards: Iterable[str] = ()) -> str:
        """Return the messages about lines that are new, and about boards that changed: so may have rights."""
        names = dict.fromkeys([*self._lines.changes.since(self._number), *boards])
        self._number = self._lines.changes.number
        return "".join(map(self._message, names))

    def _message(self, name: str) -> str:
        line = self._lines.seen_by(self._caller, name)
        text = line.line if line is not None else ""
        if text == self._shown.get(name, ""):
            return ""
        self._shown[name] = text
        return _said(name, line)


@lru_cache(2048)  # fifty who look at a wall are told the same
def _said(name: str, line: LastLine | None) -> str:
    told = {"name": name, "line": line.line if line else "", "at": iso_or_none(line.at) if line else None}
    return message(json.dumps(told), "said")
