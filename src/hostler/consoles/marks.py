"""Which claim a board was held by while it said something: marks beside its log.

A mark is one JSON line: from this offset of this boot on, until the next mark of the same boot, what the
board says belongs to this claim, or to nobody.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

log = logging.getLogger(__name__)

MOST_MARKS = 2000
"""Where the file is written anew without the boots that are not kept; far more than 50 boots need."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a claim begins, or goes on in another boot.

    Attributes:
        at: Unix time.
        claim: The claim's id; None: nobody's.
        boot: The boot's id.
        offset: In all that the boot said.
    """

    at: float
    claim: str | None
    boot: str
    offset: int


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a boot's log that belongs to one claim.

    Attributes:
        claim: The claim's id; None: nobody's.
        boot: The boot's id.
        start: Offset of its first byte.
        end: Offset behind its last; None: it goes on to the end of the boot.
    """

    claim: str | None
    boot: str
    start: int
    end: int | None


class Marks:
    """The marks of one board, in memory and in a file.

    Args:
        path: The file; a torn last line is passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: list[Mark] = []
        with contextlib.suppress(FileNotFoundError):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    self._marks.append(Mark(**json.loads(line)))

    @property
    def claim(self) -> str | None:
        """The claim marked last."""
        return self._marks[-1].claim if self._marks else None

    def add(self, mark: Mark) -> None:
        """Set a mark, if it changes anything; one that cannot be written is kept in memory, and said."""
        before = next((old for old in reversed(self._marks) if old.boot == mark.boot), None)
        if before is not None and before.claim == mark.claim:
            return  # it goes on
        self._marks.append(mark)
        try:
            with self._path.open("ab") as file:
                if file.tell() and not _ends_line(self._path):
                    file.write(b"\n")  # what kill -9 tore goes on no further
                file.write(json.dumps(asdict(mark)).encode() + b"\n")
        except OSError as error:
            log.warning("%s: cannot note who holds the board: %s", self._path, error.strerror)

    def keep(self, boots: Collection[str]) -> None:
        """Forget the marks of other boots, once there are many."""
        if len(self._marks) <= MOST_MARKS:
            return
        self._marks = [mark for mark in self._marks if mark.boot in boots][-MOST_MARKS:]
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(json.dumps(asdict(mark)).encode() + b"\n" for mark in self._marks))
            fresh.replace(self._path)
        except OSError as error:
            log.warning("%s: cannot be written anew: %s", self._path, error.strerror)

    def extents(self) -> list[Extent]:
        """Return what belongs to whom, in the order in which it was said."""
        ends: dict[str, int] = {}
        found: list[Extent] = []
        for mark in reversed(self._marks):
            end = ends.get(mark.boot)
            ends[mark.boot] = mark.offset
            if end is None or end > mark.offset:
                found.append(Extent(mark.claim, mark.boot, mark.offset, end))
        return found[::-1]


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
