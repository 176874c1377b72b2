"""The last line of every console, asked of the racks once for all who look, and while somebody looks."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.hub.changes import Changes
from hostler.hub.errors import Refusal
from hostler.link.documents import DocumentError, from_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.hub.metal import Metal
    from hostler.hub.records import Principal

log = logging.getLogger(__name__)

PACE_SECONDS = 1.0
"""How often racks are asked: a person does not read faster."""
RETRY_SECONDS = 10.0
"""Pause after a rack did not answer."""


@dataclass(frozen=True, slots=True)
class LastLine:
    """What a console said last.

    Attributes:
        line: One line of plain text.
        at: Unix time; None: before the rack's last start.
        claim: Who held the board then; None: nobody.
    """

    line: str
    at: float | None
    claim: str | None


class LastLines:
    """The last line of each console, and who may see it.

    Args:
        metal: Asks the racks.
    """

    def __init__(self, metal: Metal) -> None:
        self._metal = metal
        self._followers = 0
        self._wanted = asyncio.Event()
        self._lines: dict[str, LastLine] = {}
        self.changes = Changes()
        """The boards whose line changed."""

    @property
    def wanted(self) -> bool:
        """Whether anybody looks."""
        return self._wanted.is_set()

    async def run(self) -> None:
        """Ask while somebody looks, until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                self._take(await self._ask())
            except (Refusal, DocumentError) as error:
                log.warning("the last lines of consoles are not known: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(PACE_SECONDS)

    async def _ask(self) -> dict[str, LastLine]:
        rows = await self._metal.last_lines()
        return {str(row.get("board")): from_document(LastLine, row) for row in rows}

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Somebody looks, for as long as this lasts."""
        self._followers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._wanted.clear()

    def seen_by(self, by: Principal, board: str) -> LastLine | None:
        """Return a board's line for somebody who may join its console at this moment; None: there is none."""
        line = self._lines.get(board)
        return line if line is not None and self._metal.may_watch(by, board, line.claim) else None

    def _take(self, lines: dict[str, LastLine]) -> None:
        for name in dict.fromkeys([*self._lines, *lines]):
            old, new = self._lines.get(name), lines.get(name)
            if (old and (old.line, old.claim)) != (new and (new.line, new.claim)):
                self.changes.add(name)
        self._lines = lines
