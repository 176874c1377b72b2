"""Which boards have changed since somebody last looked; found out once for all who follow."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING

from hostler.api.documents import board_document
from hostler.api.sse import message
from hostler.hub import access

if TYPE_CHECKING:
    from hostler.hub.hub import Hub
    from hostler.hub.records import BoardRecord, Principal

LOOK_SECONDS = 0.5
"""Longest time between two looks: what rings no bell of a board, such as a claim's end, is seen by then."""
PACE_SECONDS = 0.05
"""Least time between two messages to one follower; people see no difference, and a storm costs less."""


class BoardNews:
    """Numbers every change of a board as it is shown.

    Args:
        hub: Whose boards they are. What it holds of a board is replaced and never changed in place, so that
            a board is as it was when every part is the same object.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._number = 0
        self._parts: dict[str, tuple[object, ...]] = {}
        self._changed: OrderedDict[str, int] = OrderedDict()  # newest last
        self._rung: tuple[int, ...] | None = None
        self._looked = float("-inf")
        self._texts: dict[str, dict[tuple[bool, bool, bool], str]] = {}

    @property
    def bell(self) -> int:
        """Version of the bell that rings with most changes; to wait for the next one."""
        return self._hub.bells.version("boards")

    async def wait(self, bell: int) -> None:
        """Wait for a change since that version of the bell, or for the time of the next look."""
        await self._hub.bells.wait("boards", bell, LOOK_SECONDS)

    def look(self, now: float) -> int:
        """Find what has changed and return the number of the last change; quick when nothing has rung.

        Args:
            now: Seconds of a clock that only goes forward.
        """
        rung = tuple(self._hub.bells.version(key) for key in ("boards", "claims"))
        if rung == self._rung and now - self._looked < LOOK_SECONDS:
            return self._number
        self._rung, self._looked = rung, now
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
        return self._number

    def since(self, number: int) -> list[str]:
        """Return the names of the boards that changed, came or went after a change."""
        names = []
        for name in reversed(self._changed):
            if self._changed[name] <= number:
                break
            names.append(name)
        return names[::-1]

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
        self._number += 1
        self._changed[name] = self._number
        self._changed.move_to_end(name)
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
