"""Asking whether a plan could be carried out, before it is."""

from __future__ import annotations

from pathlib import Path

from served_lab import served


async def test_a_dry_run_answers_as_the_run_would_and_begins_nothing(tmp_path: Path):
    """What would be done is returned, and every refusal is the one of the run itself."""
    async with served(tmp_path) as api:
        terms = {"name": "tiny", "arch": "amd64", "platforms": "x86-bios"}
        assert (await api.admin.post("/images", params=terms, content=b"x" * 4096)).status_code == 200
        await api.anna.post("/claims", json={"board": "pc-1"})
        asked = {"dry_run": True}
        would = await api.anna.post("/boards/pc-1/runs", json={"plan": "wipe,install:tiny", **asked})
        assert would.json()["steps"] == ["wipe", "install:tiny"]
        would = await api.anna.post("/boards/pc-1/deploy", json={"image": "tiny", **asked})
        assert would.json()["steps"] == ["install:tiny", "boot"]
        for client, path, body in (
            (api.anna, "runs", {"plan": "wipe,dance"}),
            (api.anna, "runs", {"plan": "install:none"}),
            (api.anna, "deploy", {"image": "none"}),
            (api.bert, "runs", {"plan": "wipe"}),
        ):
            dry = await client.post(f"/boards/pc-1/{path}", json={**body, **asked})
            real = await client.post(f"/boards/pc-1/{path}", json=body)
            assert dry.status_code == real.status_code >= 400
            assert dry.json()["detail"] == real.json()["detail"]
        assert (await api.anna.get("/runs")).json() == []
        assert (await api.anna.get("/boards/pc-1")).json()["run"] is None
