"""Readings of equipment: kept while they are fresh, asked for anew when they are old and somebody looks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from hostler.hub.errors import UnavailableError
from hostler.hub.panel_readings import FRESH_SECONDS, PanelReadings
from hostler.model.board import Equipment


class Metal:
    """Racks that answer, refuse or break, and count how often they are asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def panel(self, name: str) -> dict[str, Any]:
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        row = {"params": {"port": 1}, "state": "on", "watts": None, "detail": "on"}
        return {"asked": True, "ends": [row], "pools": [], "ports": [], "trouble": ""}


async def test_only_what_is_old_and_looked_at_is_read_again() -> None:
    """A second look within the time costs nothing; what goes wrong is told beside the last good reading."""
    metal, clock = Metal(), [1000.0]
    units: Any = {name: Equipment(name, "snmp-poe") for name in ("switch1", "switch2")}
    hub: Any = SimpleNamespace(
        metal=metal, now=lambda: clock[0], state=SimpleNamespace(inventory=SimpleNamespace(equipment=units))
    )
    readings = PanelReadings(hub)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(readings.run())
        first = await readings.fresh("switch1")
        assert first is not None
        clock[0] += FRESH_SECONDS / 2
        assert await readings.fresh("switch1") is readings.last("switch1") is first
        assert readings.age(first) == FRESH_SECONDS / 2
        clock[0] += FRESH_SECONDS / 2
        for error, words in ((UnavailableError("the rack is away"), "the rack is away"), (OSError(), "log")):
            metal.error = error
            told = await readings.fresh("switch1")
            assert told is not None
            assert words in told.trouble
            assert (told.asked, told.ends, told.at) == (True, first.ends, first.at)
            assert await readings.fresh("switch1") is told, "a failure is not asked again at once, either"
            clock[0] += FRESH_SECONDS
        metal.error = None
        del units["switch2"]
        last = await readings.fresh("switch1")
        assert last is not None
        assert (last.trouble, last.at) == ("", clock[0])
        assert metal.asked == ["switch1"] * 4
        units["switch1"] = Equipment("switch1", "apc")
        metal.error = UnavailableError("the rack is away")
        other = await readings.fresh("switch1")
        assert other is not None
        assert (other.asked, other.ends) == (None, ())
        running.cancel()
