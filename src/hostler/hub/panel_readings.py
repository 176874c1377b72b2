"""What equipment says of its ends: asked once for all who look, and only while somebody does."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.hub.errors import NotFoundError, Refusal
from hostler.hub.front_panel import PanelReading
from hostler.model.board import Equipment

if TYPE_CHECKING:
    from hostler.hub.hub import Hub

log = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
"""A reading younger than this is not asked for again: ports change when people walk, and boards are told of
at once anyhow."""

WAIT_SECONDS = 40.0
"""Longest wait of somebody who wants a fresh one: a rack's own deadline, and its turn in the queue."""


@dataclass(frozen=True, slots=True)
class _Kept:
    reading: PanelReading
    tried: float  # Unix time; later than the reading's own where nothing came of it
    unit: Equipment


class PanelReadings:
    """The last reading of each equipment.

    Args:
        hub: Whose racks are asked.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._kept: dict[str, _Kept] = {}
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._under_way: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Ask racks for what is wanted until cancelled; a slow equipment holds up no other."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                name = await self._wanted.get()
                tasks.create_task(self._read(name), name=f"panel of {name}")

    def last(self, name: str) -> PanelReading | None:
        """Return the last reading without waiting, and have a new one made if that is old.

        Raises:
            NotFoundError: There is no such equipment.
        """
        self._refuse_unknown(name)
        kept = self._of(name)
        old = kept is None or self._hub.now() - kept.tried >= FRESH_SECONDS
        if old and name not in self._under_way:
            self._under_way[name] = asyncio.Event()
            self._wanted.put_nowait(name)
        return kept.reading if kept else None

    async def fresh(self, name: str) -> PanelReading | None:
        """Return a reading that is not old; None: it did not come in time.

        Raises:
            NotFoundError: There is no such equipment.
        """
        last = self.last(name)
        under_way = self._under_way.get(name)
        if under_way is None:
            return last
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await under_way.wait()
        except TimeoutError:
            return last
        self._refuse_unknown(name)  # it may have left the inventory meanwhile
        kept = self._of(name)
        return kept.reading if kept else None

    def under_way(self, name: str) -> bool:
        """Tell whether an equipment is being read."""
        return name in self._under_way

    def age(self, reading: PanelReading) -> float:
        """Return how many seconds old a reading is."""
        return max(0.0, self._hub.now() - reading.at)

    def _of(self, name: str) -> _Kept | None:
        """Return what is kept of an equipment, unless it is described otherwise since."""
        kept = self._kept.get(name)
        return kept if kept and kept.unit == self._hub.state.inventory.equipment.get(name) else None

    async def _read(self, name: str) -> None:
        unit = self._hub.state.inventory.equipment.get(name)
        try:
            if unit is not None:
                reading = await self._ask(name)
                last, now = self._of(name), self._hub.now()
                self._kept[name] = _Kept(reading.after(last.reading if last else None), now, unit)
        finally:
            self._under_way.pop(name).set()
            for gone in self._kept.keys() - self._hub.state.inventory.equipment.keys():
                del self._kept[gone]

    async def _ask(self, name: str) -> PanelReading:
        try:
            return PanelReading.of(await self._hub.metal.panel(name), self._hub.now())
        except Refusal as error:
            why = error.detail
        except Exception:
            log.exception("the front of %s could not be read", name)
            why = "it could not be read; the server's log tells why"
        return PanelReading(self._hub.now(), trouble=why)

    def _refuse_unknown(self, name: str) -> None:
        known = self._hub.state.inventory.equipment
        if name not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise NotFoundError(f'there is no equipment "{name}"; known: {names}', kind="unknown-equipment")
