"""The boot that came up, beside the one that did not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from hostler.model.trace import TraceEvent
from served_lab import served
from simulated_rack import until


async def test_the_last_good_boot_is_offered_to_who_may_see_it(tmp_path: Path):
    """It is the newest one for the same purpose that came up, and never one under somebody else's claim."""
    async with served(tmp_path) as api:
        claim = (await api.anna.post("/claims", json={"board": "pc-1"})).json()["id"]
        rack = api.lab.rack

        async def boot(came_up: bool) -> int:
            answer = await api.anna.post("/boards/pc-1/runs", json={"plan": "discover"})
            run = answer.json()["id"]
            await until(lambda: api.lab.hub.state.runs[run].status.state.ended)
            record = rack.boards["pc-1"].observed.boot
            assert record is not None
            if came_up:
                event = TraceEvent(time.time(), "agent", "done", "step 1 is done", "pc-1", boot=record.id)
                await rack.link.publish(event.to_json())
                async with asyncio.timeout(60):
                    while '"kind":"done"' not in (await api.anna.get("/boards/pc-1/trace")).text:
                        await asyncio.sleep(0.02)
            return record.number

        async def good(**query: int) -> int | None:
            why = (await api.anna.get("/boards/pc-1/why", params=query)).json()
            return why["good"] and why["good"]["number"]

        first = await boot(came_up=True)
        assert await good() is None, "it is not held against itself"
        second = await boot(came_up=False)
        assert await good() == first
        third = await boot(came_up=True)
        await boot(came_up=False)
        assert await good() == third
        assert await good(boot=third) == first != second
        await api.anna.delete(f"/claims/{claim}")
        await until(lambda: api.lab.hub.state.boards["pc-1"].lifecycle == "available")
        await api.admin.post("/projects", json={"name": "blue"})
        await api.admin.put("/projects/blue/members/bert", json={"role": "member"})
        await api.admin.delete("/projects/default/members/bert")
        await api.bert.post("/claims", json={"board": "pc-1", "project": "blue"})
        run = (await api.bert.post("/boards/pc-1/runs", json={"plan": "discover"})).json()["id"]
        await until(lambda: api.lab.hub.state.runs[run].status.state.ended)
        why = (await api.bert.get("/boards/pc-1/why")).json()
        assert why["boot"] is not None
        assert why["good"] is None
