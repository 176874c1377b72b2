"""Checks of the whole lab over the API: begun, followed, joined, remembered; and who may try wires."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hostler.hub.event_choice import EventChoice
from hostler.hub.lab_checks import LOOK_KEPT_SECONDS
from served_lab import served
from simulated_rack import running, until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

BAD = {"what": "power of pc-2", "ok": False, "text": "no answer", "advice": "look at the cable"}


async def ended(client: httpx2.AsyncClient, kind: str) -> dict[str, Any]:
    """Wait until no such check goes on, and return the last."""
    async with asyncio.timeout(60):
        while True:
            slot: dict[str, Any] = (await client.get("/check")).json()[kind]
            if slot["running"] is None:
                return slot["last"]
            await asyncio.sleep(0.02)


async def test_a_look_goes_on_by_itself_and_is_remembered(tmp_path: Path) -> None:
    """Whoever begins it may go; a second joins it; what was wrong is known after a restart."""
    async with served(tmp_path) as api:
        assert (await api.anna.get("/check")).json()["look"] == {"running": None, "last": None}
        api.lab.rack.wires = {"ok": False, "checks": [BAD]}
        api.lab.rack.answers.clear()
        begun = await api.anna.post("/check/start", json={})
        assert begun.status_code == 202
        assert (begun.json()["look"]["running"]["by"], begun.json()["look"]["running"]["of"]) == ("anna", 3)
        joining = asyncio.ensure_future(api.admin.post("/check", json={}))
        await until(lambda: api.lab.rack.count("check") == 2)
        api.lab.rack.answers.set()
        joined = (await joining).json()
        assert joined == {
            "ok": False, "crossed": [],
            "checks": [{"what": "switch rack1", "ok": True, "text": "answers", "advice": ""}, BAD],
        }  # fmt: skip
        last = await ended(api.bert, "look")
        assert (last["by"], last["ok"], last["count"], last["whole"]) == ("anna", False, 2, True)
        assert [body.get("boards") for kind, body in api.lab.rack.requests if kind == "check"] == [
            None, ["pc-1", "pc-2", "arm-1"]
        ]  # fmt: skip
        (told,) = await events(api.bert)
        assert (told["principal"], told["text"]) == (
            "anna", "the lab's wires were looked at for anna: 1 of 2 failed"
        )  # fmt: skip
    async with running(tmp_path) as lab:
        again = await until(lambda: lab.hub.lab_checks.slots["look"].last, 60)
    assert (again.by, again.ok, again.count, again.whole, again.checks) == ("anna", False, 2, False, (BAD,))


async def events(client: httpx2.AsyncClient, kind: str = "lab.*", count: int = 1) -> list[dict[str, Any]]:
    """Wait for the events of a check."""
    async with asyncio.timeout(60):
        while len(found := (await client.get("/events", params={"kind": kind})).json()) < count:
            await asyncio.sleep(0.02)
    return list(found)


async def test_wires_are_tried_by_admins_one_trial_at_a_time(tmp_path: Path) -> None:
    """Progress by boards, a second trial is refused with words, and nobody else begins one."""
    async with served(tmp_path) as api:
        api.lab.rack.trying = asyncio.Event()
        refused = await api.anna.post("/check/start", json={"active": True})
        assert refused.status_code == 403
        assert (
            await api.anna.post("/check/start", json={"active": True, "board": "pc-1"})
        ).status_code == 403
        unknown = await api.admin.post("/check/start", json={"active": True, "class": "none"})
        assert unknown.status_code == 404
        begun = await api.admin.post("/check/start", json={"active": True, "class": "pc"})
        assert begun.json()["trial"]["running"]["of"] == 2
        second = await api.admin.post("/check/start", json={"active": True})
        assert (second.status_code, "0 of 2 boards" in second.json()["detail"]) == (409, True)
        # A look switches nothing: it need not wait.
        assert (await api.bert.post("/check", json={})).json()["ok"] is True
        api.lab.rack.tried["pc-2"] = {"ok": False, "crossed": [], "interrupted": "", "checks": [BAD]}
        api.lab.rack.trying.set()
        last = await ended(api.anna, "trial")
        assert (last["ok"], last["count"], [row["what"] for row in last["checks"] if not row["ok"]]) == (
            False, 2, ["power of pc-2"]
        )  # fmt: skip
        await api.admin.post("/check/start", json={"active": True, "board": "pc-1"})
        assert (await ended(api.anna, "trial"))["ok"] is True
        # History knows from where each was asked, also of what the trials did to boards.
        for kind, count in (("lab.tr*", 4), ("wires.*", 6)):
            told = await events(api.admin, kind, count)
            assert [event["data"]["source"]["via"] for event in told] == ["api"] * count


async def test_a_trial_is_called_off(tmp_path: Path) -> None:
    """Boards in the middle of theirs are put back, the others never begin; who waits learns by whom."""
    async with served(tmp_path) as api:
        assert (await api.admin.delete("/check")).status_code == 409
        api.lab.rack.trying = asyncio.Event()
        waiting = asyncio.ensure_future(api.admin.post("/check", json={"active": True, "at_once": 1}))
        await until(lambda: api.lab.rack.count("active-check") == 1, 60)
        assert (await api.anna.delete("/check")).status_code == 403
        slot = (await api.admin.delete("/check")).json()["trial"]
        assert slot["running"] is None
        assert slot["last"]["error"] == "admin called it off"
        assert [row["text"] for row in slot["last"]["checks"]] == ["not tested: admin called it off"]
        answer = await waiting
        assert (answer.status_code, answer.json()["detail"]) == (409, "admin called it off")
        boards = (await api.anna.get("/boards")).json()
        assert {board["lifecycle"] for board in boards} == {"available"}
        assert api.lab.rack.count("active-check") == 1
        api.lab.rack.trying.set()
        await api.admin.post("/check/start", json={"active": True, "board": "pc-1"})
        assert (await ended(api.anna, "trial"))["ok"] is True


async def test_a_trial_that_was_cut_short_is_told_as_such(tmp_path: Path) -> None:
    """A server that ends in the middle of one knows it when it starts again, not only the one before."""
    async with running(tmp_path) as lab:
        admin = lab.hub.state.principals["admin"]
        await lab.hub.lab_checks.whole(lab.hub.lab_checks.trial(admin))
        lab.rack.trying = asyncio.Event()
        lab.hub.lab_checks.trial(admin)
        await until(lambda: lab.rack.count("active-check") > 3, 60)
    async with running(tmp_path) as lab:
        last = await until(lambda: lab.hub.lab_checks.slots["trial"].last, 60)
        assert (last.by, last.ok, last.whole) == ("admin", False, False)
        assert "stopped in the middle" in last.error


async def test_many_looks_neither_fill_history_nor_hide_a_trial(tmp_path: Path) -> None:
    """The same outcome is kept once for a while, another one at once; the last trial is still known."""
    async with running(tmp_path) as lab:
        checks, admin, began = lab.hub.lab_checks, lab.hub.state.principals["admin"], lab.hub.now()
        clock = [began]
        lab.hub._clock = lambda: clock[0]
        await checks.whole(checks.trial(admin))
        for number in range(90):
            good = number % 2 == 0
            row = {**BAD, "ok": good, "text": f"draws {number} W"}
            lab.rack.wires = {"ok": good, "checks": [row]}
            for _ in range(2):
                assert (await checks.whole(checks.look(admin)))[0] is good
        clock[0] += LOOK_KEPT_SECONDS
        await checks.whole(checks.look(admin))
    async with running(tmp_path) as lab:
        await until(lambda: lab.hub.lab_checks.slots["look"].last, 60)
        assert len(await lab.hub.history.newest(EventChoice(kind="lab.looked"), 500)) == 91
        assert (await until(lambda: lab.hub.lab_checks.slots["trial"].last, 60)).ok


async def test_a_check_that_cannot_be_carried_out_says_why(tmp_path: Path) -> None:
    """A rack that refuses is told to whoever waits, kept as the last result, and a new check can begin."""
    async with served(tmp_path) as api:
        api.lab.rack.wires = {}
        failed = await api.anna.post("/check", json={})
        assert failed.status_code == 503
        last = await ended(api.anna, "look")
        assert (last["ok"], last["error"]) == (False, failed.json()["detail"])
        api.lab.rack.wires = {"ok": True, "checks": []}
        assert (await api.anna.post("/check", json={})).json()["ok"] is True
        held = (await api.anna.post("/claims", json={"class": "arm"})).json()["boards"][0]
        await api.admin.post("/check/start", json={"active": True, "board": held})
        error = (await ended(api.anna, "trial"))["error"]
        assert held in error
        assert "claimed" in error
        assert (await api.anna.post("/check/start", json={"board": held})).status_code == 422
