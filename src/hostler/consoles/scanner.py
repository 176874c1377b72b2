"""What a console's text tells: lines that our agent means for us, and well-known stages of a boot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.consoles.stages import ADVICE, ANY, STAGES
from hostler.model.json import Document, foreign_object

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LINE = 8192

_MARKER = re.compile(rb"@hostler (\{.*\})")
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-Za-z]|[=>78cDEHMZ])")
_UNSEEN = re.compile(r"[^\x20-\x7e\u00a0-\uffff]")


@dataclass(frozen=True, slots=True)
class Marker:
    """A line ``@hostler {…}``: the agent speaks to us where the network cannot carry it.

    Whatever runs on the board can print one, so it tells people something and moves no run.
    """

    document: Document


@dataclass(frozen=True, slots=True)
class Stage:
    """A well-known stage.

    Attributes:
        name: ``firmware`` ``kernel`` ``panic`` ``oops`` ``login``; what a boot loader says of its failure,
            ``loader-error``, and firmware of its own, ``nothing-to-boot``; what a system says, ``no-root``
            ``emergency`` ``disk-error``; and what Secure Boot refuses: ``unsigned`` ``unsigned-kernel``.
        text: The line it was seen in, printable, shortened.
    """

    name: str
    text: str

    @property
    def advice(self) -> str:
        """What it means and what to do about it, where that is not plain; or empty."""
        return ADVICE.get(self.name, "")


class Scanner:
    """Feed it the stream in pieces of any size; each marker and stage of a line is told once."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._told: set[str] = set()

    def feed(self, data: bytes) -> Iterator[Marker | Stage]:
        """Take bytes; return what they complete."""
        if not ANY.search(self._line + data):
            self._pass_over(data)
            return
        for piece in data.splitlines(keepends=True):
            ended = piece.endswith((b"\n", b"\r"))
            if len(self._line) < LONGEST_LINE:
                self._line += piece.rstrip(b"\r\n")[:LONGEST_LINE]
            yield from self._look(ended=ended)
            if ended:
                self._line.clear()
                self._told.clear()

    def reset(self) -> None:
        """Forget the unfinished line: what comes next is another boot."""
        self._line.clear()
        self._told.clear()

    def _pass_over(self, data: bytes) -> None:
        """Keep the unfinished line only."""
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        if end >= 0:
            self.reset()
        if len(self._line) < LONGEST_LINE:
            self._line += data[end + 1 :][:LONGEST_LINE]

    def _look(self, *, ended: bool) -> Iterator[Marker | Stage]:
        line = _ESCAPES.sub(b"", bytes(self._line))
        if ended and (match := _MARKER.search(line)):
            document = _document(match[1])
            if document is not None:
                yield Marker(document)
        for name, pattern in STAGES:
            # A login prompt ends no line; everything else is told when its line is whole.
            if (ended or name == "login") and name not in self._told and pattern.search(line):
                self._told.add(name)
                yield Stage(name, _UNSEEN.sub("", line.decode(errors="replace")).strip()[:200])


def _document(raw: bytes) -> Document | None:
    try:
        return foreign_object(raw)
    except ValueError:
        return None  # a line torn by kernel messages is no message
