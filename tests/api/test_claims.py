"""Claims over the API: what is seen by whom, changed by whom, and streamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hostler.api.claim_documents import ClaimDocument
from hostler.hub.records import Project
from served_lab import served
from simulated_rack import LAB, until


async def claims_of(client: Any) -> list[dict[str, Any]]:
    answer = await client.get("/claims")
    assert answer.status_code == 200
    return answer.json()


async def made(client: Any, **body: Any) -> dict[str, Any]:
    answer = await client.post("/claims", json=body)
    assert answer.status_code == 201, answer.text
    ClaimDocument.model_validate(answer.json())
    return answer.json()


async def refused(answer: Any) -> tuple[int, str]:
    body = (await answer).json()
    return body["status"], body["type"].rpartition(":")[2]


async def in_projects(api: Any, **projects: str) -> None:
    """Put people into projects of their own."""

    def decide(draft: Any) -> None:
        from dataclasses import replace

        from hostler.hub.records import Role

        for name, project in projects.items():
            draft.projects.put(project, Project(project))
            draft.principals.put(name, replace(draft.principals[name], projects={project: Role.MEMBER}))

    await api.lab.hub.change(decide)


async def test_asking_in_every_way(tmp_path: Path):
    """By class, labels, name, several at once and counted; the document tells what was wanted and given."""
    async with served(tmp_path) as api:
        one = await made(api.anna, **{"class": "pc", "wants": [{"labels": ["arch=arm64"]}], "name": "two"})
        assert one["boards"] == ["pc-1", "arm-1"]
        assert (one["board"], one["class"], one["project"], one["priority"]) == ("pc-1", "pc", "default", 0)
        assert one["wants"] == [
            {"class": "pc", "board": None, "labels": []},
            {"class": None, "board": None, "labels": ["arch=arm64"]},
        ]
        named = await made(api.bert, board="pc-2")
        assert (named["board"], named["class"]) == ("pc-2", "pc")
        waiting = await made(api.bert, **{"class": "pc", "count": 2, "wait": True})
        assert (waiting["state"], waiting["position"]) == ("pending", 1)
        assert waiting["estimate"] > waiting["created"]
        await api.anna.delete("/claims/two")
        await api.bert.delete(f"/claims/{named['id']}")
        await until(lambda: api.lab.hub.state.claims[waiting["id"]].boards == ("pc-1", "pc-2"))
        closed = (await api.anna.get(f"/claims/{one['id']}")).json()
        assert (closed["state"], closed["reason"], closed["unclean"]) == ("closed", "released", {})


async def test_bad_wishes_are_refused_and_change_nothing(tmp_path: Path):
    """Each mistake has its own kind, and nothing of it is left behind."""
    async with served(tmp_path) as api:
        seq = api.lab.hub.state.seq
        for body, told in [
            ({}, (422, "invalid")),
            ({"labels": ["ram"]}, (422, "bad-labels")),
            ({"labels": ["ram>=4G"]}, (404, "no-such-board")),
            ({"board": "pc-9"}, (404, "unknown-board")),
            ({"class": "pc", "count": 3}, (409, "too-many")),
            ({"class": "pc", "count": 0}, (422, "invalid")),
            ({"class": "pc", "at": "yesterday"}, (422, "bad-start")),
            ({"class": "pc", "at": "2001-01-01T00:00:00Z"}, (422, "bad-start")),
            ({"class": "pc", "at": "2030-01-01T00:00:00"}, (422, "bad-start")),
            ({"class": "pc", "at": "+2000d"}, (422, "bad-start")),
            ({"class": "pc", "at": "+" + "9" * 400 + "d"}, (422, "bad-start")),
            ({"class": "pc", "priority": 1}, (403, "forbidden")),
            ({"class": "pc", "project": "kernel"}, (404, "unknown-project")),
            ({"class": "pc", "keep_alive": "1s"}, (422, "invalid")),
            ({"board": "pc-1", "wants": [{"board": "pc-1"}]}, (409, "too-many")),
        ]:
            assert await refused(api.anna.post("/claims", json=body)) == told, body
        for path, body in [
            ("extend", {"by": "soon"}),
            ("alive", None),
            ("hand-over", {"to": "anna"}),
            ("kick", {}),
        ]:
            assert (await refused(api.admin.post(f"/claims/nope/{path}", json=body)))[0] in (404, 422)
        assert api.lab.hub.state.seq == seq


async def test_others_see_only_that_boards_are_held(tmp_path: Path):
    """Members of other projects see who holds what until when; those of the same project see it whole."""
    async with served(tmp_path) as api:
        await in_projects(api, bert="kernel")
        claim = await made(api.anna, **{"class": "pc", "name": "secret-plan", "ttl": 3600})
        waiting = await made(api.anna, board="pc-1", wait=True, name="also-secret")
        for seen in await claims_of(api.bert):
            ClaimDocument.model_validate(seen)
            assert "secret" not in json.dumps(seen)
            assert (seen["wants"], seen["class"], seen["ttl"], seen["position"]) == ([], None, None, None)
        held = (await claims_of(api.bert))[0]
        assert (held["principal"], held["boards"], held["expires"]) == ("anna", ["pc-1"], claim["expires"])
        assert (await api.bert.get(f"/claims/{waiting['id']}")).json()["name"] == ""
        assert (await claims_of(api.admin))[0]["name"] == "secret-plan"
        for method, path, body in [
            ("POST", "extend", {}), ("POST", "alive", None), ("PUT", "shares/bert", {}),
            ("DELETE", "shares/anna", None), ("POST", "hand-over", {"to": "bert"}), ("POST", "kick", {}),
        ]:  # fmt: skip
            answer = await api.bert.request(method, f"/claims/{claim['id']}/{path}", json=body)
            assert answer.status_code == 403, (path, answer.text)


async def test_sharing_gives_what_it_says(tmp_path: Path):
    """Whom a claim is shared with may use its boards, or only look on, until it is taken back."""
    async with served(tmp_path) as api:
        await in_projects(api, bert="kernel")
        claim = await made(api.anna, **{"class": "pc"})
        share = f"/claims/{claim['id']}/shares/bert"
        on = {"action": "on"}
        assert (await api.bert.post("/boards/pc-1/power", json=on)).status_code == 403
        assert (await api.anna.put(share, json={"sharing": "read"})).json()["shares"] == {"bert": "read"}
        assert (await api.bert.post("/boards/pc-1/power", json=on)).status_code == 403
        assert (await api.bert.get(f"/claims/{claim['id']}")).json()["shares"] == {"bert": "read"}
        assert (await api.anna.put(share, json={})).json()["shares"] == {"bert": "write"}
        assert (await api.bert.post("/boards/pc-1/power", json=on)).status_code == 202
        assert (await api.bert.post(f"/claims/{claim['id']}/extend", json={})).status_code == 403
        assert (await api.bert.delete(share)).json()["shares"] == {}
        assert (await api.bert.post("/boards/pc-1/power", json=on)).status_code == 403
        assert await refused(api.anna.put(f"/claims/{claim['id']}/shares/otto", json={})) == (
            404, "unknown-principal",
        )  # fmt: skip
        kinds = [event["kind"] for event in (await api.admin.get("/events")).json()]
        assert [kind for kind in kinds if "share" in kind] == [
            "claim.shared",
            "claim.shared",
            "claim.unshared",
        ]


async def test_handing_over_moves_a_claim_to_the_heirs_project(tmp_path: Path):
    """The heir decides from then on; a project over its quota takes nothing."""
    async with served(tmp_path) as api:
        await in_projects(api, bert="kernel")
        claim = await made(api.anna, **{"class": "pc", "name": "mine"})
        await api.lab.hub.change(
            lambda draft: draft.projects.put("kernel", Project("kernel", quotas={"pc": 0}))
        )
        path = f"/claims/{claim['id']}/hand-over"
        assert await refused(api.anna.post(path, json={"to": "bert"})) == (409, "over-quota")
        await api.lab.hub.change(lambda draft: draft.projects.put("kernel", Project("kernel")))
        handed = (await api.anna.post(path, json={"to": "bert"})).json()
        assert (handed["principal"], handed["project"]) == ("bert", "kernel")
        assert (await api.anna.delete(f"/claims/{claim['id']}")).status_code == 403
        assert (await api.bert.delete("/claims/mine")).status_code == 202


async def test_kick_ends_a_claim_with_its_reason(tmp_path: Path):
    """An admin ends a claim at once; its owner reads why."""
    async with served(tmp_path) as api:
        claim = await made(api.anna, **{"class": "pc"})
        assert (await api.bert.post(f"/claims/{claim['id']}/kick", json={})).status_code == 403
        kicked = await api.admin.post(f"/claims/{claim['id']}/kick", json={"reason": "fire drill"})
        assert (kicked.status_code, kicked.json()["state"]) == (202, "releasing")
        await until(lambda: claim["id"] not in api.lab.hub.state.claims)
        seen = (await api.anna.get(f"/claims/{claim['id']}")).json()
        assert (seen["state"], seen["reason"]) == ("closed", "ended by admin: fire drill")


async def test_extending_stops_at_bookings_and_limits(tmp_path: Path):
    """A claim is extended up to a booking and to what its class allows, and not beyond."""
    lab = LAB.replace('platform = "arm64-uboot"', 'platform = "arm64-uboot"\nmax_ttl = "3h"')
    async with served(tmp_path, lab=lab) as api:
        claim = await made(api.anna, **{"class": "arm", "ttl": "1h"})
        longer = (await api.anna.post(f"/claims/{claim['id']}/extend", json={"by": "30m"})).json()
        assert longer["ttl"] == 5400
        assert longer["expires"] > claim["expires"]
        await made(api.bert, board="arm-1", at="+2h", ttl="1h")
        extend = f"/claims/{claim['id']}/extend"
        assert await refused(api.anna.post(extend, json={"by": "1h"})) == (409, "booking-conflict")
        assert await refused(api.anna.post(extend, json={"by": "2h"})) == (422, "too-long")
        assert await refused(api.bert.post("/claims", json={"class": "arm", "ttl": "4h"})) == (
            422,
            "too-long",
        )
        assert (await made(api.admin, **{"class": "arm", "ttl": "4h", "wait": True}))["state"] == "pending"


async def test_a_booking_begins_in_time(tmp_path: Path):
    """A booked claim is active within a second of its time, and its boards were kept for it."""
    async with served(tmp_path) as api:
        booked = await made(api.anna, **{"class": "arm", "at": "+1s", "ttl": 600})
        assert (booked["state"], booked["position"], booked["estimate"]) == ("pending", None, booked["start"])
        assert (await refused(api.bert.post("/claims", json={"class": "arm"})))[1] == "none-free"
        claim = await until(
            lambda: (one := api.lab.hub.state.claims[booked["id"]]).granted is not None and one
        )
        assert 0 <= claim.granted - claim.start < 1


async def test_the_end_is_announced(tmp_path: Path):
    """Before a claim ends an event tells so, once; extending it lets its new end be announced again."""
    async with served(tmp_path) as api:
        claim = await made(api.anna, **{"class": "pc", "ttl": 100, "wants": [{"class": "arm"}]})
        hub = api.lab.hub
        wall = hub._clock
        hub._clock = lambda: wall() + 45
        await hub.tick()
        await hub.tick()
        told = [event for event in (await api.anna.get("/events")).json() if event["kind"] == "claim.ending"]
        assert [event["board"] for event in told] == ["pc-1", "arm-1"]
        assert 50 <= told[0]["data"]["seconds"] <= 55
        assert hub.state.claims[claim["id"]].warned
        await api.anna.post(f"/claims/{claim['id']}/extend", json={"by": "1h"})
        assert not hub.state.claims[claim["id"]].warned


async def test_a_client_that_is_gone_loses_its_claim(tmp_path: Path):
    """Without a sign of life a claim ends, held or waiting; with one it stays."""
    async with served(tmp_path) as api:
        held = await made(api.anna, **{"class": "arm", "keep_alive": 30})
        waiting = await made(api.anna, **{"class": "arm", "keep_alive": 30, "wait": True})
        hub = api.lab.hub
        wall = hub._clock
        hub._clock = lambda: wall() + 25
        assert (await api.anna.post(f"/claims/{held['id']}/alive")).status_code == 200
        hub._clock = lambda: wall() + 40
        await hub.tick()
        assert hub.state.claims[held["id"]].state == "active"
        assert (await api.anna.get(f"/claims/{waiting['id']}")).json()["reason"] == "client gone"
        hub._clock = lambda: wall() + 60
        await hub.tick()
        assert (await api.anna.get(f"/claims/{held['id']}")).json()["reason"] == "client gone"


@pytest.mark.parametrize("fail", ["", "disk is broken"])
async def test_a_claim_of_several_closes_with_the_last_board(tmp_path: Path, fail: str):
    """Release gives all boards back; the claim tells which of them did not come back clean."""
    async with served(tmp_path) as api:
        claim = await made(api.anna, **{"class": "pc", "wants": [{"class": "arm"}]})
        await until(lambda: "arm-1" in api.lab.rack.boards)
        api.lab.rack.boards["arm-1"].fail = fail
        await api.anna.delete(f"/claims/{claim['id']}")
        await until(lambda: claim["id"] not in api.lab.hub.state.claims)
        closed = (await api.anna.get(f"/claims/{claim['id']}")).json()
        if fail:
            assert closed["unclean"] == {"arm-1": "wipe failed: disk is broken"}
            assert closed["reason"] == "arm-1: wipe failed: disk is broken"
        else:
            assert (closed["unclean"], closed["reason"]) == ({}, "released")
        assert api.lab.hub.state.boards["pc-1"].lifecycle == "available"


async def test_watching_a_claim_tells_its_place_until_it_closes(tmp_path: Path):
    """The stream has the claim now and after each change of its place and state, and ends with it."""
    async with served(tmp_path) as api:
        first = await made(api.anna, **{"class": "arm"})
        second = await made(api.anna, **{"class": "arm", "wait": True})
        third = await made(api.anna, **{"class": "arm", "wait": True})
        seen = []
        async with api.anna.stream("GET", f"/claims/{third['id']}/watch") as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                document = json.loads(line.removeprefix("data:"))
                state = document["state"], document["position"]
                if state not in seen:
                    seen.append(state)
                    if state == ("pending", 2):
                        await api.anna.delete(f"/claims/{second['id']}")
                    elif state == ("pending", 1):
                        await api.anna.delete(f"/claims/{first['id']}")
                    elif state[0] == "active":
                        await api.anna.delete(f"/claims/{third['id']}")
        assert [state for state in seen if state[0] != "releasing"] == [
            ("pending", 2), ("pending", 1), ("active", None), ("closed", None),
        ]  # fmt: skip
