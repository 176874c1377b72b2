"""The calendar: who has boards from when to when, as everybody may see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from served_lab import served

if TYPE_CHECKING:
    from pathlib import Path


async def calendar(client: Any) -> dict[str, dict[str, Any]]:
    """Return what the calendar says, by claim and board."""
    answer = await client.get("/calendar")
    assert answer.status_code == 200, answer.text
    return {f"{one['claim']} {one['board'] or one['class']}": one for one in answer.json()}


async def made(client: Any, **body: Any) -> dict[str, Any]:
    answer = await client.post("/claims", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def seconds(span: dict[str, Any]) -> float:
    start, end = (datetime.fromisoformat(span[key]) for key in ("start", "end"))
    return (end - start).total_seconds()


async def test_held_booked_and_expected(tmp_path: Path):
    """What is held ends with its claim, a booking is where it was booked, who waits where it may expect."""
    async with served(tmp_path) as api:
        held = await made(api.anna, **{"class": "arm", "ttl": 3600})
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
        booked = await made(api.anna, board="pc-2", at=tomorrow.isoformat(), ttl="4h")
        waits = await made(api.anna, **{"class": "arm", "ttl": 60, "wait": True})
        found = await calendar(api.anna)
        one = found[f"{held['id']} arm-1"]
        assert (one["certainty"], one["class"], one["principal"]) == ("held", "arm", "anna")
        assert seconds(one) == 3600
        one = found[f"{booked['id']} pc-2"]
        assert (one["certainty"], one["class"]) == ("booked", "pc")
        assert (datetime.fromisoformat(one["start"]), seconds(one)) == (tomorrow, 4 * 3600)
        one = found[f"{waits['id']} arm"]
        assert one["certainty"] == "expected"
        assert one["start"] >= found[f"{held['id']} arm-1"]["end"]
        assert len(found) == 3


async def test_what_other_projects_see(tmp_path: Path):
    """What is held and booked everybody sees; who merely waits, only who sees the claim."""
    async with served(tmp_path) as api:
        for name, project in (("anna", "red"), ("bert", "blue")):
            await api.admin.post("/projects", json={"name": project})
            await api.admin.put(f"/projects/{project}/members/{name}", json={"role": "member"})
        held = await made(api.anna, **{"class": "arm"})
        booked = await made(api.anna, **{"class": "pc", "at": "+1d"})
        waits = await made(api.anna, **{"class": "arm", "wait": True})
        seen = {one["claim"] for one in (await calendar(api.bert)).values()}
        assert seen == {held["id"], booked["id"]}
        assert waits["id"] in {one["claim"] for one in (await calendar(api.anna)).values()}
