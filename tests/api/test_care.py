"""Health, training, maintenance and hooks over HTTP: who may, what is answered, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from served_lab import served
from simulated_rack import until
from webhook_listener import listening

if TYPE_CHECKING:
    from pathlib import Path


async def test_health_is_seen_by_all_and_changed_by_admins(tmp_path: Path):
    """Everybody sees how boards are; only an admin has them checked, judged and trained."""
    async with served(tmp_path) as api:
        boards = (await api.anna.get("/health")).json()
        assert [(b["board"], b["verdict"]) for b in boards] == [
            ("arm-1", "unknown"), ("pc-1", "unknown"), ("pc-2", "unknown"),
        ]  # fmt: skip
        for path, body in (
            ("health", {"action": "check"}), ("health", {"action": "good"}), ("training", {"boots": 2}),
            ("maintenance", {}),
        ):  # fmt: skip
            refused = await api.anna.post(f"/boards/pc-1/{path}", json=body)
            assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
        asked = await api.admin.post("/boards/pc-1/health", json={"action": "check"})
        assert asked.status_code == 202
        assert asked.json()["asked"] == "admin"
        hub = api.lab.hub
        await until(lambda: hub.state.boards["pc-1"].health.verdict == "good")
        seen = (await api.anna.get("/boards/pc-1/health")).json()
        assert (seen["verdict"], seen["passes"], seen["training"]) == ("good", 1, None)
        assert (await api.anna.get("/boards/pc-1")).json()["health"] == "good"


async def test_what_is_doubted_is_for_admins(tmp_path: Path):
    """Why a board is doubted tells what somebody did with it, and is not for everybody."""
    async with served(tmp_path, fail="no disk") as api:
        await api.anna.post("/claims", json={"class": "pc"})
        await api.anna.post("/boards/pc-1/runs", json={"plan": "wipe"})
        await until(lambda: api.lab.hub.state.boards["pc-1"].health.suspect)
        assert "no disk" in (await api.admin.get("/boards/pc-1/health")).json()["suspect"]
        assert (await api.bert.get("/boards/pc-1/health")).json()["suspect"] == ""


async def test_training_is_reported(tmp_path: Path):
    """What a training measured comes with the board's health: each boot, and each stage's times."""
    async with served(tmp_path) as api:
        begun = await api.admin.post("/boards/arm-1/training", json={"boots": 2})
        assert begun.json()["checkup"]["of"] == 2
        await until(lambda: api.lab.hub.state.boards["arm-1"].lifecycle == "available")
        training = (await api.anna.get("/boards/arm-1/health")).json()["training"]
        assert [boot["round"] for boot in training["boots"]] == [1, 2]
        assert [stage["stage"] for stage in training["stages"]] == ["dhcp", "agent"]
        assert training["stages"][0]["min"] <= training["stages"][0]["max"]


async def test_bad_requests_change_nothing(tmp_path: Path):
    """What makes no sense is a problem that says so."""
    async with served(tmp_path) as api:
        for path, body, status in (
            ("/boards/none/health", {"action": "check"}, 404),
            ("/boards/none/maintenance", {}, 404),
            ("/boards/pc-1/health", {"action": "splendid"}, 422),
            ("/boards/pc-1/health", {"action": "stop"}, 409),
            ("/boards/pc-1/training", {"boots": 0}, 422),
            ("/boards/pc-1/training", {"boots": "many"}, 422),
            ("/boards/pc-1/maintenance", {"reason": 5}, 422),
            ("/boards/pc-1/maintenance", {"reason": "x" * 501}, 422),
            ("/boards/pc-1/health", {"action": "bad", "reason": "x" * 501}, 422),
            ("/hooks", {"url": "ftp://x/"}, 422),
            ("/hooks", {"url": "http://x/", "kinds": ["A B"]}, 422),
            ("/hooks", {"url": "http://x/", "secret": "s3cret"}, 422),
            ("/hooks", {"url": "http://x/", "command": ["true"]}, 422),
            ("/hooks/h-none/test", {}, 404),
        ):
            answer = await api.admin.post(path, json=body)
            assert (path, body, answer.status_code) == (path, body, status)
            assert answer.json()["detail"]
        assert (await api.admin.delete("/boards/pc-1/maintenance")).status_code == 409
        assert (await api.admin.delete("/hooks/h-none")).status_code == 404
        assert (await api.admin.get("/hooks")).json() == []
        assert {b["verdict"] for b in (await api.admin.get("/health")).json()} == {"unknown"}


async def test_maintenance_and_back(tmp_path: Path):
    """An admin takes a board aside and gives it back; meanwhile nobody else gets it."""
    async with served(tmp_path) as api:
        aside = await api.admin.post("/boards/arm-1/maintenance", json={"reason": "new fan"})
        assert (aside.status_code, aside.json()["lifecycle"]) == (202, "maintenance")
        assert (await api.anna.post("/claims", json={"class": "arm"})).status_code == 409
        back = await api.admin.delete("/boards/arm-1/maintenance")
        assert (back.status_code, back.json()["lifecycle"]) == (202, "releasing")
        await until(lambda: api.lab.hub.state.boards["arm-1"].lifecycle == "available")


async def test_hooks_are_for_admins(tmp_path: Path):
    """Hooks are added, seen, tried and removed by admins; their addresses are nobody else's business."""
    async with served(tmp_path) as api, listening() as ear:
        assert (await api.anna.get("/hooks")).status_code == 403
        assert (await api.anna.post("/hooks", json={"url": ear.url})).status_code == 403
        added = await api.admin.post("/hooks", json={"url": ear.url, "kinds": ["claim.*"]})
        hook = added.json()
        assert (added.status_code, hook["kinds"], hook["command"]) == (201, ["claim.*"], [])
        assert (await api.anna.post(f"/hooks/{hook['id']}/test")).status_code == 403
        tried = (await api.admin.post(f"/hooks/{hook['id']}/test")).json()
        assert (tried["ok"], tried["text"]) == (True, "answered 204")
        ear.status = 500
        await api.anna.post("/claims", json={"class": "pc"})
        await until(lambda: "claim.granted" in ear.kinds or len(ear.bodies) > 2)
        [seen] = (await api.admin.get("/hooks")).json()
        assert (seen["error"], seen["told"]) == ("answered 500", 0)
        assert seen["behind"] > 0
        assert seen["trying_since"]
        assert ear.url not in (await api.anna.get("/events")).text
        assert (await api.admin.delete(f"/hooks/{hook['id']}")).status_code == 204
        assert (await api.admin.get("/hooks")).json() == []
        quiet = len(ear.bodies)
        ear.status = 204
        await api.bert.post("/claims", json={"class": "arm"})
        await until(lambda: api.lab.hub.history.last == api.lab.hub.state.seq)
        assert len(ear.bodies) <= quiet + 1  # one may have been on its way


async def test_the_api_brings_no_commands(tmp_path: Path):
    """An inventory that would run a program on the server is refused over HTTP, whoever sends it."""
    async with served(tmp_path) as api:
        text = (await api.admin.get("/inventory")).json()["text"]
        evil = f'{text}\n[hooks.evil]\ncommand = ["touch", "/tmp/owned"]\n'
        refused = await api.admin.put("/inventory", content=evil)
        assert refused.status_code == 403
        assert "hostler serve --config" in refused.json()["detail"]
        dry = await api.admin.put("/inventory?dry_run=1", content=f'{text}\n[hooks.web]\nurl = "http://x/"\n')
        [change] = dry.json()["changes"]
        assert (change["what"], change["name"], change["change"]) == ("hook", "web", "add")
        assert api.lab.hub.state.hooks == {}
