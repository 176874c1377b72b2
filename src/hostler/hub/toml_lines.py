"""Where in a TOML text each table and key stands; ``tomllib`` reads values and forgets their places."""

from __future__ import annotations

import re

Path = tuple[str, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
# What matters outside of a value: strings (which may hold brackets), comments, brackets.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[{]|[\]}]', re.DOTALL
)


class Places:
    """Lines of a TOML text by path, for example ``("boards", "rpi4-1", "mac")``."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._scan(text)

    def line(self, path: Path) -> int | None:
        """Return the line (from 1) of the longest part of the path that stands in the text."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return None

    def _scan(self, text: str) -> None:
        table: Path = ()
        position, number = 0, 1
        while position < len(text):
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            line = text[position:end]
            if header := _HEADER.match(line):
                table = _parts(header[2])
                self._note(table, number)
            elif assignment := _ASSIGNMENT.match(line):
                path = table + _parts(assignment[1])
                self._note(path, number)
                start = position + assignment.end()
                end = _value_end(text, start)
            number += text.count("\n", position, end) + 1
            position = end + 1

    def _note(self, path: Path, number: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], number)


def _value_end(text: str, start: int) -> int:
    """Walk over a value that begins at ``start``; return where its last line ends."""
    depth = 0
    position = start
    while True:
        line_end = text.find("\n", position)
        line_end = len(text) if line_end < 0 else line_end
        token = _TOKEN.search(text, position)
        if token is None or token.start() > line_end:
            if depth <= 0 or line_end == len(text):
                return line_end
            position = line_end + 1
            continue
        if token[0] in ("[", "{"):
            depth += 1
        elif token[0] in ("]", "}"):
            depth -= 1
        position = token.end()


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))
