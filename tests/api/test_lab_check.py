"""Checks of the whole lab over the API: begun, followed, joined, remembered; and who may try wires."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

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
        again = await until(lambda: lab.hub.lab_checks.slots["look"].last)
    assert (again.by, again.ok, again.count, again.whole, again.checks) == ("anna", False, 2, False, (BAD,))


async def events(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """Wait for the event of a check."""
    async with asyncio.timeout(60):
        while not (found := (await client.get("/events", params={"kind": "lab.*"})).json()):
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
