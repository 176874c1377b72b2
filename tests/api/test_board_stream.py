"""Every board in one stream, as the wall follows it; and the newest events."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.api.board_news import PACE_SECONDS, BoardNews
from hostler.hub.records import HUB
from served_lab import Served, served
from simulated_rack import LAB, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2


async def followed(client: httpx2.AsyncClient, query: str = "") -> AsyncIterator[tuple[str, Any]]:
    """Yield the kind and the document of each message."""
    async with client.stream("GET", f"/boards?follow=true{query}", timeout=60) as answer:
        assert answer.status_code == 200
        kind = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                yield kind, json.loads(line[6:])


async def first(stream: AsyncIterator[tuple[str, Any]]) -> dict[str, Any]:
    """Return all boards as the stream begins."""
    boards = {}
    async for kind, document in stream:
        if kind == "complete":
            return boards
        boards[document["name"]] = document
    raise AssertionError("the stream ended")


async def next_of(stream: AsyncIterator[tuple[str, Any]], name: str, kind: str = "board") -> Any:
    """Return the next message about a board."""
    async with asyncio.timeout(60):
        async for found, document in stream:
            if (found, document["name"]) == (kind, name):
                return document
    raise AssertionError("the stream ended")


async def test_all_boards_and_then_what_changes(tmp_path: Path):
    """Who joins sees every board once and then each change, a claim's longer end included."""
    async with served(tmp_path) as api:
        stream = followed(api.admin)
        assert set(await first(stream)) == {"pc-1", "pc-2", "arm-1"}
        claim = (await api.anna.post("/claims", json={"board": "pc-2"})).json()
        while not (seen := await next_of(stream, "pc-2"))["claim"]:
            pass
        assert seen["claim"]["principal"] == "anna"
        assert seen["claim"]["expires"] == claim["expires"]
        longer = (await api.anna.post(f"/claims/{claim['id']}/extend", json={"by": 600})).json()
        while (await next_of(stream, "pc-2"))["claim"]["expires"] != longer["expires"]:
            pass
        await stream.aclose()  # type: ignore[attr-defined]


async def test_a_board_that_is_no_more_is_told(tmp_path: Path):
    """What is taken out of the inventory is taken off every wall."""
    async with served(tmp_path) as api:
        stream = followed(api.anna)
        await first(stream)
        await api.lab.hub.apply_inventory(HUB, LAB.partition("[boards.arm-1]")[0])
        assert await next_of(stream, "arm-1", "gone") == {"name": "arm-1"}
        await stream.aclose()  # type: ignore[attr-defined]


async def test_each_sees_what_is_theirs_to_see(tmp_path: Path):
    """Texts are made once for all who follow, but never shown to who may not see them."""
    async with served(tmp_path) as api:
        await prepare(api)
        views = {}
        for name in ("admin", "anna", "bert"):
            stream = followed(getattr(api, name))
            views[name] = (await first(stream))["pc-1"]
            await stream.aclose()  # type: ignore[attr-defined]
        assert views["anna"]["claim"]["name"] == views["admin"]["claim"]["name"] == "secret-plan"
        assert views["bert"]["claim"] == {**views["anna"]["claim"], "name": ""}
        places = {name: [wire["place"] for wire in view["bindings"]] for name, view in views.items()}
        assert places["admin"][0] == "port 1"
        assert set(places["anna"]) == set(places["bert"]) == {""}


async def prepare(api: Served) -> None:
    """Let anna hold pc-1 for a project that bert does not belong to."""
    for project, member in (("red", "anna"), ("blue", "bert")):
        await api.admin.post("/projects", json={"name": project})
        await api.admin.put(f"/projects/{project}/members/{member}", json={"role": "member"})
    await api.admin.delete("/projects/default/members/bert")
    claim = {"board": "pc-1", "name": "secret-plan", "project": "red"}
    assert (await api.anna.post("/claims", json=claim)).status_code == 201


async def test_a_last_line_is_told_to_who_may_join_the_console(tmp_path: Path):
    """The holder and admins hear it; others hear nothing; who loses the right is shown an empty line."""
    async with served(tmp_path) as api:
        claim = (await api.anna.post("/claims", json={"board": "pc-1"})).json()["id"]
        await api.anna.put(f"/claims/{claim}/shares/bert", json={"sharing": "read"})
        api.lab.rack.lines = [
            {"board": "pc-1", "line": "<b>login:", "at": 1000.5, "claim": claim},
            {"board": "pc-2", "line": "nobody's", "at": None, "claim": None},
        ]
        streams = {name: followed(getattr(api, name), "&lines=true") for name in ("admin", "anna", "bert")}
        for stream in streams.values():
            await first(stream)
        told = {"name": "pc-1", "line": "<b>login:", "at": "1970-01-01T00:16:40.500Z"}
        for stream in streams.values():
            assert await next_of(stream, "pc-1", "said") == told
        assert (await next_of(streams["admin"], "pc-2", "said"))["line"] == "nobody's"
        await api.anna.delete(f"/claims/{claim}/shares/bert")
        assert (await next_of(streams["bert"], "pc-1", "said"))["line"] == ""
        api.lab.rack.lines[0] = {**api.lab.rack.lines[0], "line": "for anna alone"}
        assert (await next_of(streams["anna"], "pc-1", "said"))["line"] == "for anna alone"
        # A line of the claim before says nothing to whoever has the board next.
        await api.anna.delete(f"/claims/{claim}")
        assert (await next_of(streams["anna"], "pc-1", "said"))["line"] == ""
        heard = []
        await api.bert.post("/claims", json={"board": "arm-1"})
        async with asyncio.timeout(60):
            async for kind, document in streams["bert"]:
                heard.append((kind, document["name"]))
                if document["name"] == "arm-1" and document["claim"]:
                    break
        assert "said" not in {kind for kind, _ in heard}
        for stream in streams.values():
            await stream.aclose()  # type: ignore[attr-defined]
        assert (await api.anna.get("/boards?lines=true")).status_code == 422


async def test_consoles_are_asked_only_while_somebody_looks(tmp_path: Path):
    """A lab that nobody watches costs its racks nothing; the last one to leave ends it."""
    async with served(tmp_path) as api:
        stream = followed(api.anna)
        await first(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        asked = api.lab.rack.requests
        assert "console-lines" not in {kind for kind, _ in asked}
        leaving, staying = (followed(who, "&lines=true") for who in (api.anna, api.admin))
        await first(leaving)
        await first(staying)
        await until(lambda: "console-lines" in {kind for kind, _ in asked})
        await leaving.aclose()  # type: ignore[attr-defined]
        api.lab.rack.lines = [{"board": "pc-1", "line": "login:", "at": None, "claim": None}]
        assert (await next_of(staying, "pc-1", "said"))["line"] == "login:"
        await staying.aclose()  # type: ignore[attr-defined]
        await until(lambda: not api.lab.hub.last_lines.wanted)


async def test_the_newest_events_page_by_page(tmp_path: Path):
    """`last` returns the end of history in order, and `before` what lies before that."""
    async with served(tmp_path) as api:
        claim = (await api.anna.post("/claims", json={"class": "pc"})).json()["id"]
        for _ in range(6):
            assert (await api.anna.post(f"/claims/{claim}/extend", json={"by": 60})).status_code == 200
        every = [event["seq"] for event in (await api.admin.get("/events")).json()]
        newest = [event["seq"] for event in (await api.admin.get("/events?last=4")).json()]
        older = (await api.admin.get(f"/events?last=3&before={newest[0]}")).json()
        assert newest == sorted(newest)
        assert newest[0] in every
        assert [event["seq"] for event in older] == every[: every.index(newest[0])][-3:]
        claims = (await api.admin.get("/events?last=2&kind=claim.*")).json()
        assert [event["kind"].partition(".")[0] for event in claims] == ["claim", "claim"]


async def test_one_look_serves_all_who_follow(tmp_path: Path):
    """Bells may ring as they like: boards are gone through once in a while, and nothing that rang is lost."""
    async with running(tmp_path) as lab:
        times = [100.0]
        news = BoardNews(lab.hub, lambda: times[0])
        begun, bell = news.look(), news.bell
        assert begun == 3
        await lab.hub.power(HUB, "pc-1", "on")
        times[0] += PACE_SECONDS / 2
        assert (news.look(), news.bell) == (begun, bell), "somebody has looked just now"
        assert lab.hub.bells.version("boards") != news.bell, "so that who waits is woken at once"
        times[0] += PACE_SECONDS
        assert news.look() > begun
        assert "pc-1" in news.since(begun)
        assert news.bell > bell


async def test_looking_leaves_time_for_work(tmp_path: Path):
    """In a lab so big that a look takes long, the next one is so much later."""
    async with running(tmp_path) as lab:
        times = itertools.count(100.0)  # each look takes a second
        news = BoardNews(lab.hub, lambda: float(next(times)))
        begun = news.look()
        await lab.hub.power(HUB, "pc-1", "on")
        looks = 0
        while news.look() == begun:
            looks += 1
            assert looks < 10
        assert looks == 3
