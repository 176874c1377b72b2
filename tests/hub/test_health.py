"""Checks of boards: begun by the hub, giving way to people, ending in a verdict; training; maintenance."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hostler.hub import checkups
from hostler.hub.errors import ConflictError, ForbiddenError
from hostler.hub.records import HUB, HealthVerdict, Principal, Role
from hostler.model.claim import ClaimState, Origin, Want
from simulated_rack import LAB, Lab, running, until

if TYPE_CHECKING:
    from pathlib import Path

ANNA = Principal("anna", Role.MEMBER)
ADMIN = Principal("ada", Role.ADMIN)
CHECKED = LAB + '\n[classes.pc.health]\nplan = "discover"\nevery = "24h"\n'


def board(lab: Lab, name: str = "pc-1"):
    return lab.hub.state.boards[name]


def life(lab: Lab, name: str = "pc-1") -> str:
    return board(lab, name).lifecycle.value


async def kinds(lab: Lab, prefix: str) -> list[str]:
    await until(lambda: lab.hub.history.last == lab.hub.state.seq)
    return [event.kind for event in await lab.hub.history.page(0) if event.kind.startswith(prefix)]


async def test_boards_of_a_class_with_checks_are_checked_one_after_the_other(tmp_path: Path):
    """A class that asks for it has its boards checked by the hub's own claims, then wiped and free again."""
    async with running(tmp_path, lab=CHECKED) as lab:
        for name in ("pc-1", "pc-2"):
            await until(lambda name=name: board(lab, name).health.verdict is HealthVerdict.GOOD)
            await until(lambda name=name: life(lab, name) == "available")
        assert board(lab, "arm-1").health.verdict is HealthVerdict.UNKNOWN
        checks = [
            claim for claim in await lab.hub.reading.claims(closed=True) if claim.origin is Origin.CHECK
        ]
        assert {(claim.principal, claim.project, claim.state) for claim in checks} == {
            ("hostler", "hostler", ClaimState.CLOSED)
        }
        first, second = checks
        assert first.closed <= second.granted  # two boards: one at a time
        plans = [(run.plan, run.purpose) for run in await lab.hub.reading.runs("pc-1")]
        assert plans == [("wipe", "release"), ("discover", "check")]
        assert board(lab).health.passes == 1


async def test_a_check_never_takes_a_board_somebody_waits_for(tmp_path: Path):
    """Whoever waits gets the board that comes free; its check, though somebody asked for it, comes after."""
    async with running(tmp_path) as lab:
        held = [await lab.hub.claim(ANNA, "pc") for _ in range(2)]
        await lab.hub.health.ask(ADMIN, "pc-1")
        waiting = await lab.hub.claim(ANNA, "pc", wait=True)
        await lab.hub.release(ANNA, held[0].id)
        await until(lambda: lab.hub.state.claims[waiting.id].state is ClaimState.ACTIVE)
        assert lab.hub.state.claims[waiting.id].board == "pc-1"
        assert board(lab).health.checkup is None
        assert board(lab).health.asked == "ada"
        await lab.hub.release(ANNA, waiting.id)
        await until(lambda: board(lab).health.verdict is HealthVerdict.GOOD)


async def test_a_failed_check_quarantines_with_the_step_and_why(tmp_path: Path):
    """A board that does not pass is given to nobody, and its reason names the step and the cause."""
    async with running(tmp_path, lab=CHECKED, fail="no agent after 90 s") as lab:
        await until(lambda: life(lab) == "quarantined")
        assert board(lab).reason == "check failed: step discover failed: no agent after 90 s"
        assert (board(lab).health.verdict, board(lab).health.fails) == (HealthVerdict.BAD, 1)
        assert board(lab).claim is None
        with pytest.raises(ConflictError, match="recover pc-1"):
            await lab.hub.health.ask(ADMIN, "pc-1")
        lab.rack.boards["pc-1"].fail = ""
        await lab.hub.recover(ADMIN, "pc-1")
        await until(lambda: board(lab).health.verdict is HealthVerdict.GOOD)
        await until(lambda: life(lab) == "available")


async def test_retry_tries_a_second_time_before_it_says_bad(tmp_path: Path):
    """With after_failure = "retry" one bad boot is not yet a bad board; two in a row are."""
    text = CHECKED + 'after_failure = "retry"\n'
    async with running(tmp_path, lab=text, fail="stuck") as lab:
        await until(lambda: life(lab) == "quarantined")
        tries = [run for run in await lab.hub.reading.runs("pc-1") if run.purpose == "check"]
        assert len(tries) == 2
        assert len({run.claim for run in tries}) == 1
        lab.rack.boards["pc-2"].fail = "stuck"


async def test_a_failed_run_of_a_person_brings_the_check_forward(tmp_path: Path):
    """After a run that failed for a reason that may be the board's, the board is checked when it is free."""
    async with running(tmp_path, lab=CHECKED) as lab:
        await until(lambda: all(board(lab, n).health.at for n in ("pc-1", "pc-2")))
        await until(lambda: life(lab) == life(lab, "pc-2") == "available")
        before = board(lab).health.at
        claim = await lab.hub.claim(ANNA, "pc")
        lab.rack.boards["pc-1"].fail = "the board lost power"
        await lab.hub.start_run(ANNA, "pc-1", "wipe")
        await until(lambda: board(lab).health.suspect)
        assert "the board lost power" in board(lab).health.suspect
        lab.rack.boards["pc-1"].fail = ""
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: board(lab).health.at > before)
        assert board(lab).health.suspect == ""
        assert board(lab, "pc-2").health.passes == 1


async def test_a_check_goes_on_after_a_crash(tmp_path: Path):
    """A hub that is killed in the middle of a check carries the same check on, and ends it."""
    async with running(tmp_path, lab=CHECKED, hang=True) as lab:
        await until(lambda: board(lab).health.checkup and board(lab).health.checkup.run)
        begun = board(lab).health.checkup
    async with running(tmp_path) as lab:
        assert board(lab).health.checkup == begun
        await until(lambda: board(lab).health.verdict is HealthVerdict.GOOD)
        assert (await lab.hub.reading.run(begun.run)).status.state == "succeeded"
        await until(lambda: life(lab) == "available")


async def test_an_admin_who_ends_the_claim_ends_the_check(tmp_path: Path):
    """A check whose claim is taken away says nothing of the board."""
    async with running(tmp_path, lab=CHECKED, hang=True) as lab:
        await until(lambda: board(lab).health.checkup)
        lab.rack.boards["pc-1"].hang = lab.rack.boards["pc-2"].hang = False  # whose check may follow at once
        await lab.hub.release(ADMIN, board(lab).claim)
        await until(lambda: life(lab) == "available")
        await until(lambda: board(lab).health.checkup is None)
        await until(lambda: board(lab, "pc-2").health.verdict is HealthVerdict.GOOD)
        assert board(lab).health.verdict is HealthVerdict.UNKNOWN  # nor is it begun again at once
        assert "health.lost" in await kinds(lab, "health.")


async def test_a_check_that_takes_too_long_is_a_failure(tmp_path: Path):
    """The check has a deadline of its own: a rack that never answers leaves no board in a check for ever."""
    async with running(tmp_path, lab=CHECKED, hang=True) as lab:
        await until(lambda: board(lab).health.checkup and board(lab).health.checkup.run)
        late = board(lab).health.checkup.since + 600 + checkups.MARGIN_SECONDS + 1
        lab.hub._clock = lambda: late
        lab.hub.bells.ring("boards")
        await until(lambda: life(lab) == "quarantined")
        assert "its plan took more than 2400 s" in board(lab).reason


async def test_looping_until_stop(tmp_path: Path):
    """A looping board is checked again and again and given to nobody, until an admin says stop."""
    async with running(tmp_path) as lab:
        with pytest.raises(ForbiddenError):
            await lab.hub.health.judge(ANNA, "pc-1", HealthVerdict.LOOPING)
        await lab.hub.health.judge(ADMIN, "pc-1", HealthVerdict.LOOPING)
        assert life(lab) == "maintenance"
        await until(lambda: board(lab).health.passes >= 2)
        lab.rack.boards["pc-1"].fail = "hiccup"
        await until(lambda: board(lab).health.fails >= 1)
        assert board(lab).health.verdict is HealthVerdict.LOOPING
        assert board(lab).health.detail == "step discover failed: hiccup"
        lab.rack.boards["pc-1"].fail = ""
        await lab.hub.health.stop(ADMIN, "pc-1")
        await until(lambda: life(lab) == "available")
        assert board(lab).health.verdict is HealthVerdict.UNKNOWN
        last = (await lab.hub.reading.runs("pc-1"))[0]
        assert (last.plan, last.purpose) == ("wipe", "release")


async def test_verdicts_by_hand(tmp_path: Path):
    """An admin may say what a board is; a bad one is put aside, a held one as soon as it is given back."""
    async with running(tmp_path) as lab:
        await lab.hub.health.judge(ADMIN, "arm-1", HealthVerdict.GOOD)
        assert board(lab, "arm-1").health.detail == "set by ada"
        await lab.hub.health.judge(ADMIN, "arm-1", HealthVerdict.BAD, "smells of smoke")
        assert (life(lab, "arm-1"), board(lab, "arm-1").reason) == (
            "quarantined", "health bad: set by ada: smells of smoke",
        )  # fmt: skip
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.health.judge(ADMIN, "pc-1", HealthVerdict.BAD)
        assert life(lab) == "claimed"
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: life(lab) == "quarantined")
        assert (await lab.hub.reading.claim(ANNA, claim.id)).reason == "released"


async def test_a_new_board_is_trained_before_anybody_gets_it(tmp_path: Path):
    """A board of a class with training boots that often, each from power-off, and is free only then."""
    text = LAB + "\n[classes.pc.health]\ntraining = 4\n"
    async with running(tmp_path, lab=text) as lab:
        assert life(lab) == "maintenance"
        assert board(lab).reason.startswith("in training ")
        with pytest.raises(ConflictError):
            await lab.hub.claim(ANNA, "pc")
        await until(lambda: life(lab) == "available")
        assert board(lab).health.verdict is HealthVerdict.GOOD
        report = await lab.hub.health.report("pc-1")
        assert [(boot["round"], boot["fault"]) for boot in report.boots] == [(n, "") for n in (1, 2, 3, 4)]
        assert [(row.stage, row.boots) for row in report.times] == [("dhcp", 4), ("agent", 4)]
        assert all(row.shortest <= row.median <= row.longest < 10 for row in report.times)
        runs = await lab.hub.reading.runs("pc-1")
        assert [run.purpose for run in runs] == ["release", "check", "check", "check", "check"]
        assert board(lab).boot.number == 5


async def test_training_counts_every_boot_and_goes_on_after_a_crash(tmp_path: Path):
    """A killed hub goes on at the boot it was at; one boot of the training that failed fails the board."""
    async with running(tmp_path, hang=True) as lab:
        await lab.hub.health.train(ADMIN, "pc-1", 3)
        await until(lambda: board(lab).health.checkup.run)
        lab.rack.boards["pc-1"].fail = "no link"
        lab.rack.boards["pc-1"].hang = False
        await lab.rack.work(lab.rack.boards["pc-1"])
        await until(lambda: board(lab).health.training == 2)
        lab.rack.boards["pc-1"].hang = True
        lab.rack.boards["pc-1"].fail = ""
        count = board(lab).health.checkup.failed
        assert count == 1
    async with running(tmp_path) as lab:
        await until(lambda: life(lab) == "quarantined")
        assert board(lab).reason == "check failed: in training 1 of 3 boots failed"
        report = await lab.hub.health.report("pc-1")
        assert [bool(boot["fault"]) for boot in report.boots] == [True, False, False]


async def test_a_boot_that_needed_a_second_try_is_no_pass_in_training(tmp_path: Path):
    """The rack tries a step twice; in training every power-up has to come up."""
    async with running(tmp_path, hang=True) as lab:
        await lab.hub.health.train(ADMIN, "pc-1", 1)
        await until(lambda: board(lab).health.checkup.run)
        sim = lab.rack.boards["pc-1"]
        await lab.rack.boot(sim, "agent")
        sim.hang = False
        await lab.rack.work(sim)
        await until(lambda: life(lab) == "quarantined")
        report = await lab.hub.health.report("pc-1")
        assert report.boots[0]["fault"] == "it took 3 boots to come up once"


async def test_a_hopeless_training_ends_early(tmp_path: Path):
    """When the first boots all fail the rest would tell nothing new."""
    async with running(tmp_path, fail="dead") as lab:
        await lab.hub.health.train(ADMIN, "pc-1", 20)
        await until(lambda: life(lab) == "quarantined")
        assert "its first 3 boots failed: step discover failed: dead" in board(lab).reason


async def test_maintenance_of_a_free_board(tmp_path: Path):
    """A board in maintenance is given to nobody, its admin may use it, and it comes back by way of a wipe."""
    async with running(tmp_path) as lab:
        with pytest.raises(ForbiddenError):
            await lab.hub.begin_maintenance(ANNA, "pc-1")
        await lab.hub.begin_maintenance(ADMIN, "pc-1", "new fan")
        assert (life(lab), board(lab).reason) == ("maintenance", "new fan")
        assert (await lab.hub.claim(ANNA, "pc")).board == "pc-2"
        tried = await lab.hub.start_run(ADMIN, "pc-1", "discover")
        await until(lambda: lab.hub.state.runs[tried.id].status.state == "succeeded")
        await lab.hub.power(ADMIN, "pc-1", "on")
        await until(lambda: lab.hub.state.observed["pc-1"].power.state == "on")
        with pytest.raises(ForbiddenError):
            await lab.hub.power(ANNA, "pc-1", "off")
        with pytest.raises(ConflictError, match="--end"):
            await lab.hub.begin_maintenance(ADMIN, "pc-1")
        await lab.hub.end_maintenance(ADMIN, "pc-1")
        await until(lambda: life(lab) == "available")
        assert [run.plan for run in await lab.hub.reading.runs("pc-1")] == ["wipe", "discover"]


async def test_maintenance_of_a_held_board_waits_for_its_release(tmp_path: Path):
    """A holder keeps a board that is to go to maintenance; then it goes there and not to who waits."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, "arm")
        await lab.hub.begin_maintenance(ADMIN, "arm-1", "new fan")
        waiting = await lab.hub.claim(ANNA, "arm", wait=True)
        assert life(lab, "arm-1") == "claimed"
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: life(lab, "arm-1") == "maintenance")
        assert board(lab, "arm-1").reason == "new fan"
        assert lab.hub.state.claims[waiting.id].state is ClaimState.PENDING
        await lab.hub.end_maintenance(ADMIN, "arm-1")
        await until(lambda: lab.hub.state.claims[waiting.id].state is ClaimState.ACTIVE)
        # Taken back before it happened:
        await lab.hub.begin_maintenance(ADMIN, "arm-1", "fan again")
        await lab.hub.end_maintenance(ADMIN, "arm-1")
        await lab.hub.release(ANNA, waiting.id)
        await until(lambda: life(lab, "arm-1") == "available")


async def test_maintenance_now_ends_the_claim(tmp_path: Path):
    """With --now the holder loses the board at once; it is wiped, and then in maintenance."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.begin_maintenance(HUB, "pc-1", "smoke", kick=True)
        await until(lambda: life(lab) == "maintenance")
        assert (await lab.hub.reading.claim(ANNA, claim.id)).state is ClaimState.CLOSED


async def test_a_check_in_maintenance_leaves_the_board_there(tmp_path: Path):
    """An admin who repairs a board may have it checked, and it stays in maintenance with its old reason."""
    async with running(tmp_path) as lab:
        await lab.hub.begin_maintenance(ADMIN, "pc-1", "new fan")
        await lab.hub.health.ask(ADMIN, "pc-1")
        await until(lambda: board(lab).health.verdict is HealthVerdict.GOOD)
        assert (life(lab), board(lab).reason) == ("maintenance", "new fan")


async def test_a_check_is_not_begun_twice(tmp_path: Path):
    """Who asks again while a board in maintenance is being checked is answered with that check."""
    async with running(tmp_path, hang=True) as lab:
        await lab.hub.begin_maintenance(ADMIN, "pc-1", "new fan")
        first = (await lab.hub.health.ask(ADMIN, "pc-1")).health.checkup
        again = (await lab.hub.health.ask(ADMIN, "pc-1")).health.checkup
        assert first is not None
        assert again is not None
        assert again.begun == first.begun


async def test_a_board_whose_wires_are_tried_is_not_called_held(tmp_path: Path):
    """It is said what goes on, and that it has an end."""
    async with running(tmp_path) as lab:
        lab.rack.trying = asyncio.Event()
        testing = asyncio.ensure_future(lab.hub.wire_tests.test(ADMIN, "pc-1"))
        await until(lambda: life(lab) == "maintenance")
        with pytest.raises(ConflictError, match="being checked by ada; wait until that has ended"):
            await lab.hub.health.train(ADMIN, "pc-1", 3)
        lab.rack.trying.set()
        await testing


async def test_nothing_is_begun_without_an_agent(tmp_path: Path):
    """Where no agent can check or wipe, a check is refused and says how to come by one."""
    async with running(tmp_path, lab=CHECKED, agents=False) as lab:
        with pytest.raises(ConflictError, match="hostler agent build"):
            await lab.hub.health.ask(ADMIN, "pc-1")
        assert board(lab).health.checkup is None


async def test_records_without_health_are_read(tmp_path: Path):
    """What a board's health is survives a restart to the letter."""
    async with running(tmp_path) as lab:
        await lab.hub.health.judge(ADMIN, "pc-1", HealthVerdict.GOOD, "looked at")
        before = board(lab)
    async with running(tmp_path) as lab:
        assert replace(board(lab), run=None) == replace(before, run=None)


WIRED = CHECKED + "wires = true\n"
WRONG = {
    "ok": False,
    "checks": [
        {"what": "power of pc-1", "ok": True, "text": "reads on", "advice": ""},
        {"what": "console of pc-1", "ok": False, "text": "silent for 20 s", "advice": "look at the plug"},
    ],
    "crossed": ["arm-1"],
}


async def test_wires_are_tested_before_the_plan(tmp_path: Path):
    """With wires = true a check tries every wire first, while the board is held by the check's own claim."""
    async with running(tmp_path, lab=WIRED) as lab:
        await until(lambda: board(lab).health.verdict is HealthVerdict.GOOD)
        asked = [
            body for kind, body in lab.rack.requests if kind == "active-check" and body["board"] == "pc-1"
        ]
        assert [body["lifecycle"] for body in asked] == ["claimed"]
        assert "check" in [run.purpose for run in await lab.hub.reading.runs("pc-1")]


async def test_a_wrong_wire_is_the_reason(tmp_path: Path):
    """A wire that is wrong fails the check without a boot, is named, and so is who hangs on the other end."""
    async with running(tmp_path, lab=WIRED) as lab:
        lab.rack.tried["pc-1"] = WRONG
        await until(lambda: life(lab) == "quarantined")
        assert board(lab).reason == "check failed: console of pc-1: silent for 20 s"
        assert life(lab, "arm-1") == "quarantined"
        assert "check" not in [run.purpose for run in await lab.hub.reading.runs("pc-1")]


async def test_a_plan_that_can_be_made_no_more_ends_the_check(tmp_path: Path):
    """What a plan needs may go while the wires are tried: the check fails, and the hub goes on."""
    async with running(tmp_path, lab=CHECKED + "wires = true\n") as lab:
        lab.rack.trying = asyncio.Event()
        await until(lambda: [kind for kind, _ in lab.rack.requests if kind == "active-check"])
        lost = CHECKED.replace('plan = "discover"', 'plan = "install:gone,boot"')
        await lab.hub.apply_inventory(HUB, lost + "wires = true\n")
        lab.rack.trying.set()
        await until(lambda: life(lab) == "quarantined")
        assert "gone" in board(lab).reason


async def test_a_test_of_wires_is_begun_again_after_a_crash(tmp_path: Path):
    """A hub that dies while wires are tested has them tested again, and nobody gets the board meanwhile."""
    async with running(tmp_path, lab=WIRED) as lab:
        lab.rack.trying = asyncio.Event()
        await until(lambda: any(kind == "active-check" for kind, _ in lab.rack.requests))
        [name] = [name for name in ("pc-1", "pc-2") if board(lab, name).health.checkup]
        held = board(lab, name).claim
    async with running(tmp_path) as lab:
        assert board(lab, name).claim == held
        await until(lambda: board(lab, name).health.verdict is HealthVerdict.GOOD)
        await until(lambda: life(lab, name) == "available")


async def test_a_claim_that_ends_soon_is_told_on_its_consoles(tmp_path: Path):
    """The warning before a claim's end appears on the console of each of its boards that has one."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, Want("pc"), Want("arm"), ttl=600)
        warned = claim.expires - 30
        lab.hub._clock = lambda: warned
        await lab.hub.tick()
        await lab.hub.change(lambda draft: draft.event("power.idle-soon", "off in 5 min", board="pc-1"))

        def told():
            return [(b["board"], b["text"]) for kind, b in lab.rack.requests if kind == "console-notice"]

        await until(lambda: ("pc-1", "off in 5 min") in told())
        [first, _] = sorted(
            told(), key=lambda one: "idle" in one[1] or "off" in one[1]
        )  # the other board has no console
        assert first[0] == "pc-1"
        assert "ends in" in first[1]
