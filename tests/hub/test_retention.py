"""What is long over is forgotten, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import func, select

from hostler.hub import retention, tables
from hostler.hub.records import HUB
from hostler.hub.state import Draft
from simulated_rack import LAB, running, until

DAY = 86400.0


def count(lab, table) -> int:
    return lab.database.read(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar()
    )


async def test_what_is_over_is_forgotten_after_its_time(tmp_path: Path):
    """Traces go first, the rest later; what is held, each board's last run and the last event stay."""
    async with running(tmp_path) as lab:
        for _ in range(3):
            done = await lab.hub.claim(HUB, "pc")
            await lab.hub.release(HUB, done.id)
            await until(lambda done=done: done.id not in lab.hub.state.claims)
        held = await lab.hub.claim(HUB, "pc", ttl=300 * DAY)
        waiting = await lab.hub.claim(HUB, "pc", "pc", wait=True)
        await until(lambda: lab.hub.history.last == lab.hub.state.seq)
        assert await lab.hub.retention.sweep() == 0
        wall = lab.hub._clock
        lab.hub._clock = lambda: wall() + 31 * DAY
        assert await lab.hub.retention.sweep() > 0
        kinds = {event.kind for event in await lab.hub.history.page(0)}
        assert "claim.granted" in kinds
        assert not any(kind.startswith("dhcp.") for kind in kinds)
        assert count(lab, tables.boots) == 1
        assert (count(lab, tables.claims), count(lab, tables.runs)) == (5, 3)
        lab.hub._clock = lambda: wall() + 91 * DAY
        await lab.hub.retention.sweep(rest=0.0)
        assert [event.seq for event in await lab.hub.history.page(0)] == [lab.hub.state.seq]
        assert (count(lab, tables.claims), count(lab, tables.runs)) == (2, 1)
        last = lab.hub.state.seq
    async with running(tmp_path) as lab:
        assert lab.hub.state.seq >= last
        assert {held.id, waiting.id} <= set(lab.hub.state.claims)
        assert lab.hub.state.runs[lab.hub.state.boards["pc-1"].run].board == "pc-1"


async def test_a_long_history_is_removed_to_its_end(tmp_path: Path):
    """However much there is, all of it goes, in small parts; traces are found among the rest."""
    async with running(tmp_path) as lab:

        def much(draft: Draft) -> None:
            for number in range(3 * retention.BATCH):
                draft.event("dhcp.ack", "x", trace=number % 7 == 3)

        await lab.hub.change(much)
        before = count(lab, tables.events)
        wall = lab.hub._clock
        lab.hub._clock = lambda: wall() + 31 * DAY
        await lab.hub.retention.sweep(rest=0.0)
        assert count(lab, tables.events) == before - sum(n % 7 == 3 for n in range(3 * retention.BATCH))
        text = LAB.replace('name = "bench"', 'name = "bench"\nkeep = "10d"')
        await lab.hub.apply_inventory(HUB, text)
        assert lab.hub.state.inventory == replace(
            lab.hub.state.inventory, keep=10 * DAY, keep_traces=30 * DAY
        )
        await lab.hub.retention.sweep(rest=0.0)
        assert count(lab, tables.events) == 1
