"""A rack writes into the trace what a board's events show to be wrong with its network."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench import Bench, RealBoard, bench, mac

from hostler.model.trace import TraceEvent

if TYPE_CHECKING:
    from pathlib import Path


async def seen(made: Bench, kind: str) -> TraceEvent:
    """Return the first event of a kind that the hub is told."""
    async with asyncio.timeout(60):
        async for _, document in made.link.events(0):
            event = TraceEvent.from_json(document)
            if event.kind == kind:
                return event
    raise AssertionError(kind)


async def test_a_board_on_another_network_is_told_to_the_hub(tmp_path: Path) -> None:
    """Netboot's event and the trouble it shows reach history, in this order and once."""
    async with bench(tmp_path, b1=RealBoard("b1", "b1", boots=False)) as made:
        for _ in range(2):
            asks = TraceEvent(
                time.time(), "dhcp", "discover", "b1 asks", "b1", mac("b1"), data={"network": "office"}
            )
            made.rack._heard(asks)
        event = await seen(made, "wrong-network")
        assert event.board == "b1"
        assert event.data == {"network": "office", "expected": "boot"}
        made.rack._heard(TraceEvent(time.time(), "dhcp", "release", "b1 gives back", "b1", mac("b1")))
        kinds: list[str] = []
        async with asyncio.timeout(60):
            async for _, document in made.link.events(0):
                kinds.append(str(document["kind"]))
                if kinds[-1] == "release":
                    break
        assert [kind for kind in kinds if kind in ("discover", "wrong-network", "release")] == [
            "discover", "wrong-network", "discover", "release",
        ]  # fmt: skip
