"""Fronts of equipment in one stream: whole at first, then only what changed, and what is for admins."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from served_lab import Served, served
from simulated_rack import LAB, PANEL, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx2

RACK2 = '\n[equipment.rack2]\ndriver = "snmp-poe"\nhost = "10.0.0.3"\ncommunity = "env:RACK1"\n'


async def followed(client: httpx2.AsyncClient, *units: str) -> AsyncIterator[tuple[str, Any]]:
    """Yield the kind and the document of each message."""
    query = {"follow": "true", "unit": list(units)}
    async with client.stream("GET", "/equipment", params=query, timeout=60) as answer:
        assert answer.status_code == 200
        kind = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                yield kind, json.loads(line[6:])


async def until_front(stream: AsyncIterator[tuple[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the ends that are told until the next front that was read, and that one."""
    ends: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        async for kind, document in stream:
            if kind == "end":
                ends.append(document)
            elif kind == "front" and document["read_at"]:
                return ends, document
    raise AssertionError("the stream ended")


async def next_end(stream: AsyncIterator[tuple[str, Any]]) -> dict[str, Any]:
    """Return the next end that is told."""
    async with asyncio.timeout(60):
        async for kind, document in stream:
            if kind == "end":
                return dict(document)
    raise AssertionError("the stream ended")


def read_again(api: Served) -> None:
    """Let the last reading be an old one."""
    kept = api.lab.hub.panels._kept
    kept["rack1"] = replace(kept["rack1"], tried=0.0)


async def test_a_front_is_told_whole_and_then_only_the_end_that_changed(tmp_path: Path) -> None:
    """A claim, a power-up and a new reading are each told by the ends they change, and by no other."""
    async with served(tmp_path) as api:
        # Each end changes by itself when its board was seen first.
        await until(lambda: len(api.lab.hub.state.observed) == 3, 60)
        stream = followed(api.admin, "rack1")
        ends, front = await until_front(stream)
        by_id = {end["id"]: end for end in ends}
        assert [by_id[ident]["place"] for ident in front["ends"]] == ["port 1", "port 2", "port 3", "port 9"]
        assert {end["equipment"] for end in ends} == {"rack1"}
        await api.anna.post("/claims", json={"board": "pc-2"})
        while not (end := await next_end(stream))["boards"][0]["claim"]:
            assert end["place"] == "port 2"
        assert (end["place"], end["boards"][0]["claim"]["principal"]) == ("port 2", "anna")
        # The same again is read: only when it was is told, and no end.
        read_again(api)
        ends, again = await until_front(stream)
        assert [end for end in ends if end["place"] != "port 2"] == []
        assert again["read_at"] > front["read_at"]
        moved = [{**port, "up": False} for port in PANEL["ports"]]  # type: ignore[union-attr]
        api.lab.rack.panel = {**PANEL, "ports": moved}
        read_again(api)
        while (end := await next_end(stream))["place"] != "port 9":
            pass
        assert end["link"] is False
        await stream.aclose()  # type: ignore[attr-defined]


async def test_others_are_told_of_boards_and_not_of_places(tmp_path: Path) -> None:
    """Ends without a board are for admins; what switches is told to the holder; ids tell nobody the port."""
    async with served(tmp_path) as api:
        await api.anna.post("/claims", json={"class": "arm"})
        stream = followed(api.anna, "rack1")
        ends, front = await until_front(stream)
        by_id = {end["id"]: end for end in ends}  # the last of each: first they are told as they hang
        ends = [by_id.pop(ident) for ident in front["ends"]]
        assert by_id == {}
        assert [(end["place"], end["boards"][0]["name"]) for end in ends] == [
            ("", "pc-1"), ("", "pc-2"), ("", "arm-1")
        ]  # fmt: skip
        assert [end["boards"][0]["may_switch"] for end in ends] == [False, False, True]
        assert "52:54:00:aa" not in str(ends)
        api.lab.rack.panel = {}
        read_again(api)
        while not (front := (await until_front(stream))[1])["trouble"]:
            pass
        assert front["trouble"] == "it could not be read"
        await stream.aclose()  # type: ignore[attr-defined]


async def until_gone(stream: AsyncIterator[tuple[str, Any]]) -> AsyncIterator[tuple[str, Any]]:
    """Yield what is told until something is gone."""
    async for kind, document in stream:
        yield kind, document
        if kind == "gone":
            return


async def test_what_is_followed_is_named_and_known(tmp_path: Path) -> None:
    """A wrong name is refused before the stream begins; equipment that leaves is told as gone."""
    async with served(tmp_path, lab=LAB + RACK2) as api:
        for query, status in (({"follow": True}, 422), ({"unit": "rack1"}, 422)):
            assert (await api.anna.get("/equipment", params=query)).status_code == status
        unknown = await api.anna.get("/equipment", params={"follow": True, "unit": "rack9"})
        assert (unknown.status_code, "known: rack1, rack2" in unknown.json()["detail"]) == (404, True)
        stream = followed(api.admin, "rack1", "rack2")
        await until_front(stream)
        assert (await api.admin.put("/inventory", content=LAB)).status_code == 200
        async with asyncio.timeout(60):
            gone = [document async for kind, document in until_gone(stream) if kind == "gone"]
        assert gone == [{"name": "rack2"}]
        await stream.aclose()  # type: ignore[attr-defined]
        assert (await api.anna.get("/equipment")).json()[0]["name"] == "rack1"
