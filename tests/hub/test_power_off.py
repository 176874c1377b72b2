"""All power off at once, and off by itself where nobody uses a board."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from hostler.hub import power_off, timekeeper
from hostler.hub.errors import ForbiddenError, NotFoundError
from hostler.hub.records import Principal, Role
from hostler.hub.state import Draft
from hostler.model.idle import notice_seconds
from hostler.model.power import PowerState
from hostler.model.run import RunState
from simulated_rack import LAB, Lab, running, until

ANNA = Principal("anna", Role.MEMBER)
ADA = Principal("ada", Role.ADMIN)
ON, OFF = PowerState.ON, PowerState.OFF
TWO_SWITCHES = LAB.replace(
    '[equipment.rack1]', '[equipment.rack2]\ndriver = "fake"\n\n[equipment.rack1]'
).replace('equipment = "rack1", port = 3', 'equipment = "rack2", outlet = "3"')  # fmt: skip
IDLE = LAB.replace('platform = "x86-bios"', 'platform = "x86-bios"\nidle_off = "30m"')
LIMIT = 1800.0


def read(lab: Lab, board: str) -> PowerState:
    return lab.hub.state.observed[board].power.state


async def kinds(lab: Lab, prefix: str) -> list[tuple[str, str | None]]:
    await until(lambda: lab.hub.history.last == lab.hub.state.seq)
    events = await lab.hub.history.page(0)
    return [(e.kind, e.board) for e in events if e.kind.startswith(prefix) and not e.trace]


async def test_everything_goes_off_and_stays_off(tmp_path: Path):
    """Claimed boards go off and stay claimed, runs end with the reason, and it is told once and per board."""
    async with running(tmp_path) as lab:
        await lab.hub.claim(ANNA, "pc", power=True)
        await lab.hub.claim(ANNA, "pc")
        await until(lambda: read(lab, "pc-1") is ON)
        lab.rack.boards["pc-2"].hang = True
        run = await lab.hub.start_run(ANNA, "pc-2", "wipe,boot")
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.RUNNING)
        cut = await lab.hub.all_off(ADA)
        assert cut == power_off.PowerCut(("arm-1", "pc-1", "pc-2"), (run.id,), ())
        await until(lambda: read(lab, "pc-1") is OFF and read(lab, "pc-2") is OFF)
        ended = (await lab.hub.reading.run(run.id)).status
        assert (ended.state, ended.error) == (RunState.CANCELLED, "all power was switched off by ada")
        records = lab.hub.state.boards
        assert {record.power for record in records.values()} == {OFF}
        assert [records[name].lifecycle for name in ("pc-1", "pc-2")] == ["claimed", "claimed"]
        assert await kinds(lab, "power.") == [
            ("power.off", "pc-1"), ("power.off", "pc-2"), ("power.all-off", None)
        ]  # fmt: skip
        assert records["pc-1"].asked > 0


async def test_a_board_in_mid_wipe_is_put_aside_and_not_given_away_dirty(tmp_path: Path):
    """A wipe that lost its power is no wipe: the board is quarantined with who did it, its claim closed."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        await until(lambda: "pc-1" in lab.rack.boards)
        lab.rack.boards["pc-1"].hang = True
        await lab.hub.release(ANNA, claim.id)
        cut = await lab.hub.all_off(ADA)
        assert cut.quarantined == ("pc-1",)
        record = lab.hub.state.boards["pc-1"]
        assert (record.lifecycle, record.reason) == ("quarantined", "all power was switched off by ada")
        assert (await lab.hub.reading.claim(ADA, claim.id)).state == "closed"
        lab.rack.boards["pc-1"].hang = False
        await lab.hub.recover(ADA, "pc-1")
        await until(lambda: lab.hub.state.boards["pc-1"].lifecycle == "available")


async def test_one_equipment_only(tmp_path: Path):
    """Boards on other equipment are left alone."""
    async with running(tmp_path, lab=TWO_SWITCHES) as lab:
        await lab.hub.claim(ANNA, "pc", power=True)
        await lab.hub.claim(ANNA, "arm", power=True)
        await until(lambda: read(lab, "pc-1") is ON and read(lab, "arm-1") is ON)
        assert (await lab.hub.all_off(ADA, "rack2")).boards == ("arm-1",)
        await until(lambda: read(lab, "arm-1") is OFF)
        assert lab.hub.state.boards["pc-1"].power is ON


async def test_who_may_not_and_what_is_not_there(tmp_path: Path):
    """Only an admin; unknown equipment is named with those there are; nothing is changed."""
    async with running(tmp_path) as lab:
        await lab.hub.claim(ANNA, "pc", power=True)
        seq = lab.hub.state.seq
        with pytest.raises(ForbiddenError, match="only an admin"):
            await lab.hub.all_off(ANNA)
        with pytest.raises(NotFoundError, match='there is no equipment "rack9"; equipment: rack1'):
            await lab.hub.all_off(ADA, "rack9")
        assert lab.hub.state.boards["pc-1"].power is ON
        assert [e for e in await lab.hub.history.page(seq) if not e.trace] == []


async def test_asking_again_is_a_new_wish(tmp_path: Path):
    """A board that is to be on already is asked for again, so that the rack tries again."""
    async with running(tmp_path) as lab:
        await lab.hub.claim(ANNA, "pc", power=True)
        await until(lambda: read(lab, "pc-1") is ON)
        before = lab.rack.boards["pc-1"].desired.asked
        await lab.hub.power(ANNA, "pc-1", "on")
        await until(lambda: lab.rack.boards["pc-1"].desired.asked == before + 1)


def idle(lab: Lab, at: float) -> list[str]:
    """Decide as if it were that time; returns the kinds of the events."""
    draft = Draft(lab.hub.state, at)
    power_off.idle_off(draft)
    draft.apply()
    return [event.kind for event in draft.events]


async def test_a_board_nobody_uses_is_told_of_and_then_switched_off(tmp_path: Path):
    """Notice, then off, once each; who uses it or has a run on it is left alone; other classes never."""
    async with running(tmp_path, lab=IDLE) as lab:
        await lab.hub.claim(ANNA, "pc", power=True)
        await lab.hub.claim(ANNA, "arm", power=True)
        await until(lambda: read(lab, "pc-1") is ON and read(lab, "arm-1") is ON)
        used = time.time() + 1000
        await lab.rack.tell(lab.rack.boards["pc-1"], active_at=used)
        await until(lambda: lab.hub.state.observed["pc-1"].active_at == used)
        tell = used + LIMIT - notice_seconds(LIMIT)
        assert idle(lab, tell - 1) == []
        assert idle(lab, tell) == ["power.idle-notice"]
        assert idle(lab, tell + 1) == []
        lab.rack.boards["pc-1"].hang = True
        run = await lab.hub.start_run(ANNA, "pc-1", "boot")
        assert idle(lab, used + 10 * LIMIT) == []
        await lab.hub.cancel_run(ANNA, run.id)
        await until(lambda: lab.hub.state.runs[run.id].status.state.ended)
        assert idle(lab, used + LIMIT) == ["power.idle-off"]
        assert lab.hub.state.boards["pc-1"].power is OFF
        assert idle(lab, used + 20 * LIMIT) == []
        assert lab.hub.state.boards["arm-1"].power is ON


async def test_the_hubs_sweep_switches_off_and_the_rack_obeys(tmp_path: Path):
    """What is found idle in the hub's round of every minute is stored, told, and brought about."""
    async with running(tmp_path, lab=IDLE) as lab:
        claim = await lab.hub.claim(ANNA, "pc", power=True)
        await until(lambda: read(lab, "pc-1") is ON)
        long_ago = time.time() - 2 * LIMIT
        held = lab.hub.state.claims[claim.id]
        await lab.hub.change(
            lambda draft: draft.claims.put(
                claim.id, replace(held, granted=long_ago, expires=time.time() + 60)
            )
        )
        record = lab.hub.state.boards["pc-1"]
        await lab.hub.change(
            lambda draft: draft.boards.put("pc-1", replace(record, idle_told=time.time() - 400))
        )
        await lab.hub.change(lambda draft: timekeeper.tick(draft, [], sweep=True))
        await until(lambda: read(lab, "pc-1") is OFF)
        assert await kinds(lab, "power.idle") == [("power.idle-off", "pc-1")]
        assert lab.hub.state.claims[claim.id].state == "active"
