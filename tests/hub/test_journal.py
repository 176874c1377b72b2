"""Decisions on their way to the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from hostler.hub.errors import UnavailableError
from hostler.hub.records import Principal, Role
from simulated_rack import running

ANNA = Principal("anna", Role.MEMBER)


async def test_a_full_disk_undoes_what_was_not_stored(tmp_path: Path):
    """When a commit fails all who waited hear it, memory is as the disk, and work goes on afterwards."""
    async with running(tmp_path) as lab:
        await lab.hub.claim(ANNA, "arm")
        known = dict(lab.hub.state.claims)
        blocker = sqlite3.connect(tmp_path / "hub.sqlite")
        blocker.execute(
            "CREATE TRIGGER full BEFORE INSERT ON claims BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        blocker.commit()
        results = await asyncio.gather(
            *(lab.hub.claim(ANNA, "pc", wait=True) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(result, UnavailableError) for result in results)
        assert "disk full" in results[0].detail
        assert lab.hub.state.claims == known
        assert lab.hub.state.boards["pc-1"].lifecycle == "available"
        blocker.execute("DROP TRIGGER full")
        blocker.commit()
        blocker.close()
        claim = await lab.hub.claim(ANNA, "pc")
        assert claim.board == "pc-1"


async def test_a_caller_that_goes_away_undoes_nothing(tmp_path: Path):
    """What was decided is stored even if nobody waits for the answer."""
    async with running(tmp_path) as lab:
        task = asyncio.ensure_future(lab.hub.claim(ANNA, "pc", name="mine"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with running(tmp_path) as lab:
        assert [claim.name for claim in lab.hub.state.claims.values()] == ["mine"]


async def test_many_share_a_commit(tmp_path: Path):
    """Claims made at once are stored together, and all are durable before their answers."""
    async with running(tmp_path) as lab:
        writes = 0
        write = lab.database.writer.write

        async def counted(job):
            nonlocal writes
            writes += 1
            return await write(job)

        lab.hub.journal._writer = type("Counting", (), {"write": staticmethod(counted)})()
        claims = await asyncio.gather(*(lab.hub.claim(ANNA, "pc", wait=True) for _ in range(200)))
        assert writes <= 20
        stored = sqlite3.connect(tmp_path / "hub.sqlite").execute("SELECT id FROM claims").fetchall()
        assert {claim.id for claim in claims} <= {row[0] for row in stored}
