"""A board that is switched on while nobody serves its network."""

from __future__ import annotations

import asyncio

import pytest

from hostler.model.network_trouble import NetworkTrouble
from hostler.model.trace import TraceEvent
from hostler.rack.served_watch import ServedWatch

ON = TraceEvent(1000.0, "power", "on", "b1 is on", "b1", boot="boot-1")
ASKS = TraceEvent(1001.0, "dhcp", "discover", "b1 asks", "b1", "52:54:00:00:00:0a", "boot-1")


@pytest.mark.parametrize(
    ("why", "events", "told"),
    [
        ("port 67 is not permitted", (ON,), True),
        ("", (ON,), False),  # its firmware takes its time
        ("it is replaced", (ON, ASKS), False),  # it was served a moment ago
    ],
)
async def test_it_is_told_once_a_boot_and_only_of_who_is_not_heard(
    why: str, events: tuple[TraceEvent, ...], told: bool
) -> None:
    """The reason is the boot services' own."""
    found: list[TraceEvent] = []
    trouble = NetworkTrouble()
    watch = ServedWatch(lambda network: why if network == "lab" else "", trouble.silent, found.append, 0.01)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for event in events:
            trouble.note(event, "lab")
            watch.note(event, "lab", tasks)
    assert [(one.source, one.kind, one.boot) for one in found] == [("dhcp", "not-served", "boot-1")] * told
    assert all(why in one.text for one in found)
