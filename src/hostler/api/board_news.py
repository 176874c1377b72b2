"""Which boards have changed since somebody last looked; found out once for all who follow."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from hostler.api.documents import board_document
from hostler.api.sse import message
from hostler.hub import access
from hostler.hub.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.hub import Hub
    from hostler.hub.records import BoardRecord, Principal

LOOK_SECONDS = 0.5
"""Longest time between two looks: what rings no bell of a board, such as a claim's end, is seen by then."""
PACE_SECONDS = 0.05
"""Least time between two looks and between two messages to one follower; people see no difference."""
_SHARE = 0.2
"""Most of the time that goes into looking, however many boards there are."""


class BoardNews:
    """Numbers every change of a board as it is shown.

    Args:
        hub: Whose boards they are. What it holds of a board is replaced and never changed in place, so that
            a board is as it was when every part is the same object.
        clock: Seconds that only go forward.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._parts: dict[str, tuple[object, ...]] = {}
        self._changes = Changes()
        self._rung = (-1, -1)  # what the bells had rung at the last look
        self._looked = self._rested = float("-inf")  # when that was, and when the next one may be
        self._texts: dict[str, dict[tuple[bool, bool, bool], str]] = {}

    @property
    def bell(self) -> int:
        """Version of the bell at the last look: who waits from it misses nothing that rang since."""
        return self._rung[0]

    async def wait(self, bell: int) -> None:
        """Wait for a change since that version of the bell, or for the time of the next look."""
        await self._hub.bells.wait("boards", bell, LOOK_SECONDS)

    def look(self) -> int:
        """Find what has changed and return the number of the last change.

        Quick when nothing has rung, or somebody else has looked just now.
        """
        now = self._clock()
        rung = (self._hub.bells.version("boards"), self._hub.bells.version("claims"))
        if now < self._rested or (rung == self._rung and now - self._looked < LOOK_SECONDS):
            return self._changes.number
        self._rung, self._looked = rung, now
        self._find()
        self._rested = now + max(PACE_SECONDS, (self._clock() - now) / _SHARE)
        return self._changes.number

    def _find(self) -> None:
        boards = self._hub.state.boards
        for name, record in boards.items():
            parts = self._parts_of(record)
            old = self._parts.get(name)
            if old is None or any(new is not was for new, was in zip(parts, old, strict=True)):
                self._parts[name] = parts
                self._change(name)
        for name in self._parts.keys() - boards.keys():
            del self._parts[name]
            self._change(name)

    def since(self, number: int) -> list[str]:
        """Return the names of the boards that changed, came or went after a change."""
        return self._changes.since(number)

    def text(self, caller: Principal, name: str) -> str:
        """Return the message that shows a board to somebody, or that it is gone."""
        record = self._hub.state.boards.get(name)
        if record is None:
            return message(json.dumps({"name": name}), "gone")
        claim = self._hub.state.claims.get(record.claim) if record.claim else None
        run = self._hub.state.runs.get(record.run or "")
        view = (
            caller.admin,
            claim is not None and access.may_see(caller, claim),
            run is not None and self._hub.sight.sees(caller, run.claim),
        )
        texts = self._texts.setdefault(name, {})
        if view not in texts:
            texts[view] = message(
                board_document(self._hub, caller, record).model_dump_json(by_alias=True), "board"
            )
        return texts[view]

    def _change(self, name: str) -> None:
        self._changes.add(name)
        self._texts.pop(name, None)

    def _parts_of(self, record: BoardRecord) -> tuple[object, ...]:
        state = self._hub.state
        return (
            record,
            state.observed.get(record.name),
            state.claims.get(record.claim) if record.claim else None,
            state.runs.get(record.run or ""),
            state.inventory,
        )
