"""Fronts of equipment over the API: read once for all, old ones told as such, and what is for admins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from served_lab import served
from simulated_rack import LAB, until

if TYPE_CHECKING:
    from pathlib import Path


async def test_many_who_look_cost_one_reading(tmp_path: Path) -> None:
    """The first answer does not wait; ten who ask at once and again are answered from one reading."""
    async with served(tmp_path) as api:
        assert (await api.admin.get("/equipment")).json() == [
            {"name": "rack1", "driver": "snmp-poe", "boards": 3}
        ]
        stood = api.lab.hub.now()
        api.lab.hub._clock = lambda: stood  # however long it takes here, the reading does not grow old
        api.lab.rack.answers.clear()
        first = (await api.anna.get("/equipment/rack1")).json()
        assert (first["asked"], first["read_at"], first["under_way"]) == (None, None, True)
        many = [
            asyncio.ensure_future(api.admin.get("/equipment/rack1", params={"wait": True})) for _ in range(10)
        ]
        await until(lambda: api.lab.rack.count("panel"), 60)
        api.lab.rack.answers.set()
        fronts = [(await one).json() for one in many]
        again = (await api.admin.get("/equipment/rack1")).json()
        assert {front["read_at"] for front in (*fronts, again)} == {again["read_at"]}
        assert api.lab.rack.count("panel") == 1
        assert again["age"] == 0
        assert [end["state"] for end in again["ends"]][:2] == ["on", "off"]


async def test_equipment_that_leaves_while_somebody_waits_is_unknown(tmp_path: Path) -> None:
    """Who waits for its front is told which equipment there is now."""
    rack2 = '\n[equipment.rack2]\ndriver = "snmp-poe"\nhost = "10.0.0.3"\ncommunity = "env:RACK1"\n'
    async with served(tmp_path, lab=LAB + rack2) as api:
        api.lab.rack.answers.clear()
        waiting = asyncio.ensure_future(api.admin.get("/equipment/rack2", params={"wait": True}))
        await until(lambda: api.lab.rack.count("panel"), 60)
        assert (await api.admin.put("/inventory", content=LAB)).status_code == 200
        api.lab.rack.answers.set()
        gone = await waiting
        assert (gone.status_code, "known: rack1" in gone.json()["detail"]) == (404, True)


async def test_ports_and_strangers_are_for_admins(tmp_path: Path) -> None:
    """Others see which boards hang there and how they are, but not where, and none of who is heard."""
    async with served(tmp_path) as api:
        claim = (await api.anna.post("/claims", json={"class": "arm"})).json()
        admin = (await api.admin.get("/equipment/rack1", params={"wait": True})).json()
        anna = (await api.anna.get("/equipment/rack1")).json()
        assert [(end["place"], names(end)) for end in admin["ends"]] == [
            ("port 1", ["pc-1"]), ("port 2", ["pc-2"]), ("port 3", ["arm-1"]), ("port 9", []),
        ]  # fmt: skip
        assert admin["ends"][3]["strangers"] == ["52:54:00:aa:bb:cc"]
        assert [(end["place"], names(end)) for end in anna["ends"]] == [
            ("", ["pc-1"]), ("", ["pc-2"]), ("", ["arm-1"])
        ]  # fmt: skip
        assert "52:54:00:aa" not in str(anna)
        may = {board["name"]: board["may_switch"] for end in anna["ends"] for board in end["boards"]}
        assert may == {"pc-1": False, "pc-2": False, "arm-1": True}
        holder = anna["ends"][2]["boards"][0]["claim"]
        assert (holder["id"], holder["principal"]) == (claim["id"], "anna")


async def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A rack's no is a trouble in the picture, its words for admins; a wrong name is refused."""
    async with served(tmp_path) as api:
        api.lab.rack.panel = {}
        admin = (await api.admin.get("/equipment/rack1", params={"wait": True})).json()
        anna = (await api.anna.get("/equipment/rack1", params={"wait": True})).json()
        assert "no panel" in admin["trouble"]
        assert (anna["trouble"], len(anna["ends"])) == ("it could not be read", 3)
        unknown = await api.admin.get("/equipment/rack9")
        assert (unknown.status_code, "rack1" in unknown.json()["detail"]) == (404, True)


def names(end: dict[str, Any]) -> list[str]:
    return [board["name"] for board in end["boards"]]
