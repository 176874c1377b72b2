"""What equipment says of its ends: asked once for all who look, and only while somebody does."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hostler.hub.errors import NotFoundError, Refusal
from hostler.hub.front_panel import PanelReading

if TYPE_CHECKING:
    from hostler.hub.hub import Hub

log = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
"""A reading younger than this is not asked for again: ports change when people walk, and boards are told of
at once anyhow."""

WAIT_SECONDS = 40.0
"""Longest wait of somebody who wants a fresh one: a rack's own deadline, and its turn in the queue."""


class PanelReadings:
    """The last reading of each equipment.

    Args:
        hub: Whose racks are asked.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._kept: dict[str, PanelReading] = {}
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
        last = self._kept.get(name)
        if (last is None or self.age(last) >= FRESH_SECONDS) and name not in self._under_way:
            self._under_way[name] = asyncio.Event()
            self._wanted.put_nowait(name)
        return last

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
        return self._kept.get(name)

    def under_way(self, name: str) -> bool:
        """Tell whether an equipment is being read."""
        return name in self._under_way

    def age(self, reading: PanelReading) -> float:
        """Return how many seconds old a reading is."""
        return max(0.0, self._hub.now() - reading.at)

    async def _read(self, name: str) -> None:
        try:
            document = await self._hub.metal.panel(name)
            self._kept[name] = PanelReading.of(document, self._hub.now())
        except Refusal as error:
            self._kept[name] = PanelReading(self._hub.now(), trouble=error.detail)
        except Exception:
            log.exception("the front of %s could not be read", name)
            why = "it could not be read; the server's log tells why"
            self._kept[name] = PanelReading(self._hub.now(), trouble=why)
        finally:
            self._under_way.pop(name).set()
            for gone in self._kept.keys() - self._hub.state.inventory.equipment.keys():
                del self._kept[gone]

    def _refuse_unknown(self, name: str) -> None:
        known = self._hub.state.inventory.equipment
        if name not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise NotFoundError(f'there is no equipment "{name}"; known: {names}', kind="unknown-equipment")
