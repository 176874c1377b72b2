"""The fronts of equipment that somebody looks at, and which of their ends changed: found out once for all."""

from __future__ import annotations

import operator
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from hostler.hub.changes import Changes
from hostler.hub.errors import NotFoundError
from hostler.hub.front_panel import PanelEnd, PanelReading, front_panel, owners_of, wires_of
from hostler.model.board import Equipment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hostler.hub.hub import Hub
    from hostler.hub.inventory import Inventory

LOOK_SECONDS = 0.5
"""Longest time between two looks: a new reading rings no bell of a board, and is seen by then."""
PACE_SECONDS = 0.1
"""Least time between two looks, however much changes: people see no difference."""
_BETWEEN = "\n"  # of an equipment and its end in a change's name; in no name of ours


@dataclass(slots=True)
class Front:
    """A front as it was at the last look.

    Attributes:
        unit: The equipment.
        reading: What it said last; None: nobody has asked yet.
        ends: By an id that says nothing of where the end is, in the order of the front.
        parts: What the front was made of.
        shown: What is shown of each end, by its id.
    """

    unit: Equipment
    reading: PanelReading | None = None
    ends: dict[str, PanelEnd] = field(default_factory=dict)
    parts: tuple[object, ...] = ()
    shown: dict[str, object] = field(default_factory=dict)


class LiveFronts:
    """Numbers every change of the fronts that are followed.

    Args:
        hub: Whose equipment it is. What it holds of a board is replaced and never changed in place, so that a
            front is as it was when every part is the same object.
        clock: Seconds that only go forward.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._followers: dict[str, int] = {}
        self._fronts: dict[str, Front] = {}
        self._changes = Changes()
        self._rung = (-1, -1)
        self._looked = float("-inf")
        self._inventory: Inventory | None = None
        self._wired: dict[str, list[str]] = {}
        self._key = secrets.token_bytes(32)

    @contextmanager
    def followed(self, names: Sequence[str]) -> Iterator[None]:
        """Have the fronts of these followed; they are read again while the block lasts.

        Raises:
            NotFoundError: There is no such equipment.
        """
        known = self._hub.state.inventory.equipment
        for name in names:
            if name not in known:
                have = ", ".join(sorted(known)) or "none yet"
                raise NotFoundError(
                    f'there is no equipment "{name}"; known: {have}', kind="unknown-equipment"
                )
        for name in names:
            self._followers[name] = self._followers.get(name, 0) + 1
        self._looked = float("-inf")  # what is followed from now on was not looked at yet
        try:
            yield
        finally:
            for name in names:
                self._followers[name] -= 1
                if not self._followers[name]:
                    del self._followers[name]
                    self._fronts.pop(name, None)

    def front(self, name: str) -> Front | None:
        """Return the front of an equipment that is followed; None: it is in the inventory no more."""
        return self._fronts.get(name)

    def since(self, number: int) -> list[tuple[str, str]]:
        """Return what changed after a change: equipment, and the id of an end or none for the rest."""
        found = [name.partition(_BETWEEN) for name in self._changes.since(number)]
        return [(unit, end) for unit, _, end in found]

    async def wait(self) -> None:
        """Wait for a change of a board since the last look, or for the time of the next."""
        await self._hub.bells.wait("boards", self._rung[0], LOOK_SECONDS)

    def look(self) -> int:
        """Find what has changed and return the number of the last change.

        Quick when nothing has rung, or somebody else has looked just now.
        """
        now = self._clock()
        rung = (self._hub.bells.version("boards"), self._hub.bells.version("claims"))
        if now - self._looked < (LOOK_SECONDS if rung == self._rung else PACE_SECONDS):
            return self._changes.number
        self._rung, self._looked = rung, now
        self._know_wires()
        owners: dict[str, str] = {}
        for name in self._followers:
            unit = self._hub.state.inventory.equipment.get(name)
            if unit is None:
                if self._fronts.pop(name, None) is not None:
                    self._changes.add(name)
                continue
            front = self._fronts.get(name)
            if front is None or front.unit != unit:
                front = self._fronts[name] = Front(unit)
                self._changes.add(name)
            self._see(front, owners)
        return self._changes.number

    def _know_wires(self) -> None:
        """Keep which boards have a wire to which equipment."""
        if self._inventory is self._hub.state.inventory:
            return
        self._inventory = self._hub.state.inventory
        self._wired = {}
        for record in self._hub.state.boards.values():
            for name in {wire.equipment for _, wire in wires_of(record.board) if wire.equipment is not None}:
                self._wired.setdefault(name, []).append(record.name)

    def _see(self, front: Front, owners: dict[str, str]) -> None:
        """Look at one front; ``owners`` is filled by the first that needs it."""
        state, name = self._hub.state, front.unit.name
        reading = self._hub.panels.last(name)
        wired = [state.boards[board] for board in self._wired.get(name, ()) if board in state.boards]
        parts: list[object] = [reading]
        for record in wired:
            claim = state.claims.get(record.claim) if record.claim else None
            parts += (record, state.observed.get(record.name), claim)
        if len(front.parts) == len(parts) and all(map(operator.is_, parts, front.parts)):
            return
        front.parts = tuple(parts)
        if not owners and reading is not None and reading.ports:
            owners.update(owners_of(state.boards.values()))
        self._compare(front, reading, front_panel(state, name, reading, wired=wired, owners=owners))

    def _compare(self, front: Front, reading: PanelReading | None, ends: list[PanelEnd]) -> None:
        name = front.unit.name
        found: dict[str, PanelEnd] = {}
        shown: dict[str, object] = {}
        for end in ends:
            ident = self._id(name, end)
            found[ident] = end
            # A reading that found the same again is no news of an end.
            shown[ident] = replace(end, at=None), tuple(map(self._on_it, end.boards))
            if shown[ident] != front.shown.get(ident):
                self._changes.add(f"{name}{_BETWEEN}{ident}")
        if reading is not front.reading or _order(found) != _order(front.ends):
            self._changes.add(name)
        front.reading, front.ends, front.shown = reading, found, shown

    def _id(self, name: str, end: PanelEnd) -> str:
        """Return the id of an end: the same while the server runs, and nobody can tell a port from it."""
        what = repr((name, end.kind, end.wire)).encode()
        return blake2b(what, digest_size=6, key=self._key).hexdigest()

    def _on_it(self, board: str) -> object:
        """Return what is shown of a board besides its end."""
        record = self._hub.state.boards[board]
        return record.lifecycle, self._hub.state.claims.get(record.claim or ""), bool(record.board.power)


def _order(ends: Mapping[str, PanelEnd]) -> list[object]:
    """Return which ends there are for whom: those without a board are for admins."""
    return [(ident, bool(end.boards)) for ident, end in ends.items()]
