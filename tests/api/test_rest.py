"""The REST contract, over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path

import httpx2
import pytest

from hostler.hub import principals
from hostler.hub.records import HUB
from served_lab import served
from simulated_rack import LAB, until


async def get(client, path, status=200, **params):
    answer = await client.get(path, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def import_image(client, name="tiny", data=b"x" * 4096, **params):
    terms = {"name": name, "arch": "amd64", "platforms": "x86-bios", **params}
    answer = await client.post("/images", params=terms, content=data)
    return answer, [json.loads(line) for line in answer.text.splitlines()]


async def test_the_main_job(tmp_path: Path):
    """Import, claim, deploy, watch, trace and release, in the words of the contract."""
    async with served(tmp_path) as api:
        answer, lines = await import_image(api.admin, data=gzip.compress(os.urandom(3_000_000)))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert lines[-1]["event"] == "done"
        image = lines[-1]["image"]
        assert (image["name"], image["size"], image["source"]) == ("tiny", 3_000_320, "upload")
        assert image["done"] == {"console": "login:", "seconds": 600.0}
        assert all(line["event"] == "progress" for line in lines[:-1])
        assert await get(api.anna, "/images") == [image]

        classes = await get(api.anna, "/classes")
        assert classes[1] == {
            "name": "pc", "platform": "x86-bios", "arch": "amd64", "boards": 2, "available": 2, "waiting": 0,
            "max_ttl": None,
        }  # fmt: skip
        answer = await api.anna.post(
            "/claims", json={"class": "pc", "image": "tiny", "name": "mine", "ttl": "2h"}
        )
        assert answer.status_code == 201
        claim = answer.json()
        assert (claim["state"], claim["board"], claim["ttl"], claim["class"]) == (
            "active",
            "pc-1",
            7200.0,
            "pc",
        )
        assert claim["granted"].endswith("Z")

        async def run():
            return (await get(api.anna, "/boards/pc-1"))["run"]

        while (await run())["state"] != "succeeded":
            await asyncio.sleep(0.01)
        assert (await run())["steps"] == ["install:tiny", "boot"]
        assert (await run())["purpose"] == "deploy"
        board = await get(api.anna, "/boards/pc-1")
        assert board["claim"]["principal"] == "anna"
        assert board["console"] is True
        assert board["boot"]["number"] == 1
        assert "token" not in json.dumps(board)
        await until(lambda: api.lab.hub.state.cursor == 3)
        await asyncio.sleep(0.1)
        trace = await get(api.anna, "/boards/pc-1/trace")
        assert [event["kind"] for event in trace["events"]] == ["on", "ack", "hello"]
        assert trace["boots"][0]["id"] == trace["boot"]["id"]
        assert 0 <= trace["events"][0]["since"] < 5
        why = await get(api.anna, "/boards/pc-1/why")
        assert (why["board"], why["boot"], why["cause"]) == ("pc-1", trace["boot"], "under-way")
        assert why["slower"] == []
        assert (await get(api.anna, "/boards/pc-1/why", boot=999))["boot"] is None
        assert (await api.anna.get("/boards/pc-1/console/log")).content == b"hello"
        assert len(await get(api.anna, "/runs", board="pc-1")) == 1
        assert await get(api.anna, "/boards", claimed="mine") == [await get(api.anna, "/boards/pc-1")]
        assert len(await get(api.bert, "/boards", claimed="none")) == 2

        answer = await api.anna.post("/boards/pc-1/power", json={"action": "cycle"})
        assert (answer.status_code, answer.json()["desired"]) == (202, "on")
        assert (await api.admin.delete("/images/tiny")).status_code == 204
        assert (await api.anna.delete("/claims/mine")).json()["state"] == "releasing"
        while (await get(api.anna, f"/claims/{claim['id']}"))["state"] != "closed":
            await asyncio.sleep(0.01)
        assert (await get(api.anna, "/boards/pc-1"))["lifecycle"] == "available"
        assert (await api.anna.delete(f"/claims/{claim['id']}")).json()["reason"] == "released"
        assert await get(api.anna, "/claims") == []
        assert len(await get(api.anna, "/claims", state="all")) == 1


async def test_a_board_that_cannot_be_switched_needs_no_boot_for_a_verdict(tmp_path: Path):
    """Nothing comes of a run whose board's equipment does not answer, not even a boot: that is said."""
    async with served(tmp_path) as api:
        assert (await get(api.anna, "/boards/pc-1/why"))["text"] == "It has not booted yet."
        await until(lambda: "pc-1" in api.lab.rack.boards)
        await api.lab.rack.tell(api.lab.rack.boards["pc-1"], power_error="the switch does not answer")
        await until(lambda: api.lab.hub.state.observed["pc-1"].power_error)
        why = await get(api.anna, "/boards/pc-1/why")
        assert (why["cause"], why["boot"]) == ("power", None)
        assert "the switch does not answer" in why["text"]


async def test_problems(tmp_path: Path):
    """Every refusal is a problem document with a type, the status, and what to do."""
    async with served(tmp_path) as api:
        await import_image(api.admin)
        cases = [
            (api.anonymous.get("/boards"), 401, "no-token"),
            (api.anna.get("/nothing"), 404, "not-found"),
            (api.anna.patch("/boards"), 405, "method-not-allowed"),
            (api.anna.get("/boards/nope"), 404, "unknown-board"),
            (api.anna.get("/runs/nope"), 404, "unknown-run"),
            (api.anna.get("/claims/nope"), 404, "unknown-claim"),
            (api.anna.get("/images/nope"), 404, "unknown-image"),
            (api.anna.get("/boards", params={"claimed": "x"}), 422, "invalid"),
            (api.anna.post("/claims", json={"class": "rpi"}), 404, "unknown-class"),
            (api.anna.post("/claims", json={"class": "pc", "ttl": "soon"}), 422, "invalid"),
            (api.anna.post("/claims", json={"class": "pc", "ttl": True}), 422, "invalid"),
            (api.anna.post("/claims", json={"class": "pc", "colour": 1}), 422, "invalid"),
            (api.anna.post("/claims", content=b"{"), 422, "invalid"),
            (api.anna.post("/claims", json={"class": "arm", "image": "tiny"}), 422, "wrong-architecture"),
            (api.anna.post("/boards/pc-1/power", json={"action": "on"}), 403, "forbidden"),
            (api.admin.post("/boards/pc-1/runs", json={"plan": "boot"}), 409, "board-not-claimed"),
            (api.admin.post("/boards/pc-1/recover"), 409, "conflict"),
            (api.anna.put("/inventory", content=LAB), 403, "forbidden"),
            (api.admin.put("/inventory", content=b"\xff"), 422, "bad-inventory"),
            (api.admin.put("/agents/mips", json={"kernel": "/x", "initrd": "/y"}), 422, "invalid"),
            (api.admin.put("/agents/amd64", json={"kernel": "/x", "initrd": "y"}), 422, "bad-agent"),
            (api.admin.post("/claims", content=b"x" * 5_000_000), 413, "toolarge"),
        ]
        for request, status, kind in cases:
            answer = await request
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            body = answer.json()
            assert body["type"] == f"urn:hostler:problem:{kind}"
            assert body["status"] == status
            assert body["detail"]
            assert body["title"]
        assert not api.lab.hub.state.claims


async def test_queue_positions(tmp_path: Path):
    """Who waits sees their place; releasing a waiting claim closes it and moves the others up."""
    async with served(tmp_path) as api:
        first = (await api.anna.post("/claims", json={"class": "arm"})).json()
        none = await api.bert.post("/claims", json={"class": "arm"})
        assert (none.status_code, none.json()["type"]) == (409, "urn:hostler:problem:none-free")
        second = (await api.bert.post("/claims", json={"class": "arm", "wait": True})).json()
        third = (await api.anna.post("/claims", json={"class": "arm", "wait": True})).json()
        assert (first["position"], second["position"], third["position"]) == (None, 1, 2)
        assert (await api.bert.delete(f"/claims/{first['id']}")).status_code == 403
        assert (await api.bert.delete(f"/claims/{second['id']}")).json()["state"] == "closed"
        assert (await get(api.anna, f"/claims/{third['id']}"))["position"] == 1


async def test_inventory(tmp_path: Path):
    """An inventory is applied as a whole, shown before, and its mistakes come with file, line and key."""
    async with served(tmp_path) as api:
        assert (await get(api.anna, "/inventory"))["text"] is None
        shown = await get(api.admin, "/inventory")
        assert (shown["text"], shown["boards"], shown["lab"]) == (LAB, 3, "bench")
        more = LAB + '\n[boards.pc-3]\nclass = "pc"\nmac = "52:54:00:00:00:09"\n'
        dry = await api.admin.put("/inventory", params={"dry_run": 1}, content=more)
        (change,) = dry.json()["changes"]
        assert (change["what"], change["name"], change["change"]) == ("board", "pc-3", "add")
        assert {"key": "class", "old": None, "new": "pc"} in change["keys"]
        assert (await api.anna.get("/boards/pc-3")).status_code == 404
        assert (await api.admin.put("/inventory", content=more)).status_code == 200
        assert (await get(api.anna, "/boards/pc-3"))["lifecycle"] == "available"
        bad = await api.admin.put("/inventory", content=more.replace('"pc"', '"pcc"'))
        assert bad.status_code == 422
        error = bad.json()["errors"][0]
        assert (error["file"], error["key"]) == ("lab.toml", "boards.pc-1.class")
        assert more.splitlines()[error["line"] - 1] == 'class = "pc"'


async def test_events_as_json_and_sse(tmp_path: Path):
    """History comes as a list, or for ever as server-sent events that can be resumed."""
    async with served(tmp_path) as api:
        await api.anna.post("/claims", json={"class": "arm"})
        events = await get(api.anna, "/events", after=0, board="arm-1")
        assert [event["kind"] for event in events] == ["claim.granted"]
        assert events[0]["principal"] == "anna"
        params = {"follow": 1, "after": 0, "board": "arm-1"}
        async with api.anna.stream("GET", "/events", params=params) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            first = [await anext(lines) for _ in range(4)]
            assert first[0] == "event: claim.granted"
            assert first[1] == f"id: {events[0]['seq']}"
            assert json.loads(first[2].removeprefix("data: ")) == events[0]
            await api.anna.post("/boards/arm-1/power", json={"action": "on"})
            assert await anext(lines) == "event: power.on"
        headers = {"Last-Event-ID": str(events[0]["seq"])}
        async with api.anna.stream("GET", "/events", params=params, headers=headers) as stream:
            assert await anext(stream.aiter_lines()) == "event: power.on"


async def test_watch_a_board(tmp_path: Path):
    """Whoever watches a board sees its progress to the byte."""
    async with served(tmp_path, hang=True) as api:
        await import_image(api.admin)
        await api.anna.post("/claims", json={"class": "pc", "image": "tiny"})
        await until(lambda: api.lab.rack.boards["pc-1"].observed.run)
        async with api.bert.stream("GET", "/boards/pc-1/watch") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: board"
            await api.lab.rack.progress("pc-1", 2048, 4096)
            async with asyncio.timeout(60):
                async for line in lines:
                    if line.startswith("data: ") and json.loads(line[6:])["run"]["done"] == 2048:
                        break


async def test_bad_images_leave_nothing(tmp_path: Path):
    """A truncated, refused or broken-off import is told and leaves neither a name nor a byte."""
    async with served(tmp_path) as api:
        truncated = gzip.compress(os.urandom(2_000_000))[:-1000]
        answer, lines = await import_image(api.admin, data=truncated)
        assert lines[-1]["event"] == "error"
        assert lines[-1]["problem"]["status"] == 422
        assert "upload: the gzip data ends too early" in lines[-1]["problem"]["detail"]
        for terms, status in (
            ({"arch": "mips"}, 422),
            ({"platforms": "arm64-uboot"}, 422),
            ({"done_console": "("}, 422),
            ({"name": "Bad Name"}, 422),
            ({"data": b""}, 422),
            ({"url": "file:///etc/passwd"}, 422),
        ):
            answer, lines = await import_image(api.admin, **terms)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        await api.lab.hub.change(lambda draft: principals.change(draft, HUB, "anna", role="viewer"))
        answer, _ = await import_image(api.anna)
        assert answer.status_code == 403
        answer, lines = await import_image(api.admin, url="http://127.0.0.1:1/none", data=b"")
        assert lines[-1]["problem"]["status"] == 422

        async def broken():
            yield os.urandom(1_000_000)
            raise RuntimeError("gone")

        with pytest.raises(RuntimeError):
            await api.admin.post("/images", params={"name": "x", "arch": "amd64"}, content=broken())
        await until(lambda: not list((tmp_path / "spool").iterdir()))
        assert api.lab.store.artefacts() == []
        assert not [
            path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.stat().st_size
        ]
        assert await get(api.admin, "/images") == []
        answer, lines = await import_image(api.admin, "x")
        assert lines[-1]["event"] == "done"
        answer, _ = await import_image(api.admin, "x")
        assert answer.status_code == 409


async def test_images_in_use_stay(tmp_path: Path):
    """An image a run uses cannot be removed."""
    async with served(tmp_path, hang=True) as api:
        await import_image(api.admin)
        await api.anna.post("/claims", json={"class": "pc", "image": "tiny"})
        answer = await api.admin.delete("/images/tiny")
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:hostler:problem:image-in-use")


async def test_agents_and_principals(tmp_path: Path):
    """An admin registers agents and lets people in; the token is shown once and works."""
    async with served(tmp_path, agents=False) as api:
        (tmp_path / "kernel").write_bytes(b"k")
        (tmp_path / "initrd").write_bytes(b"i")
        body = {"kernel": str(tmp_path / "kernel"), "initrd": str(tmp_path / "initrd")}
        (tmp_path / "initrd").chmod(0o640)
        refused = await api.admin.put("/agents/amd64", json=body)
        assert "not for everybody" in refused.json()["detail"]
        assert await get(api.anna, "/agents") == []
        (tmp_path / "initrd").chmod(0o644)
        agent = (await api.admin.put("/agents/amd64", json=body)).json()
        assert await get(api.anna, "/agents") == [agent]
        await until(lambda: api.lab.rack.plan.agents["amd64"]["kernel"] == agent["kernel"])
        made = (await api.admin.post("/principals", json={"name": "carl"})).json()
        assert made["token"].startswith("hst_")
        assert len(made["token"]) == 47
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {made['token']}"}) as carl:
            me = await carl.get(f"{api.url}/api/v1/me")
            assert (me.json()["name"], me.json()["role"]) == ("carl", "member")
            assert made["token"] not in me.text
            assert (await api.admin.delete("/principals/carl")).status_code == 204
            assert (await carl.get(f"{api.url}/api/v1/me")).status_code == 401
        assert made["token"] not in (tmp_path / "hub.sqlite").read_bytes().decode(errors="ignore")
        check = (await api.admin.post("/check", json={"board": None})).json()
        assert check["ok"]
        assert (await api.anonymous.get(f"{api.url}/healthz")).json()["ok"] is True


async def test_an_import_ends_with_its_client(tmp_path: Path):
    """Whoever goes away in the middle of an import leaves neither bytes nor the name behind."""
    parts = asyncio.Event()

    async def slow(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(os.urandom(1_000_000))
            parts.set()
            await asyncio.sleep(0.01)
            await writer.drain()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/image"
    async with served(tmp_path) as api:
        terms = {"name": "slow", "arch": "amd64", "url": url}
        async with api.admin.stream("POST", "/images", params=terms) as stream:
            lines = stream.aiter_lines()
            assert json.loads(await anext(lines))["of"] == 1_000_000_000
            again = await api.admin.post("/images", params=terms)
            assert again.status_code == 409
        await until(lambda: not api.lab.hub.images._importing)
        assert not [
            path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.stat().st_size
        ]
        assert await get(api.admin, "/images") == []
    server.close()


async def test_odd_input_is_never_the_servers_mistake(tmp_path: Path):
    """Whatever is sent, the answer is a problem that says whose fault it is."""
    async with served(tmp_path) as api:
        odd = ["", " ", "\0", "\ud800", "a" * 5000, "../../etc/passwd", "x\ny", None, 1e308, -1, [], {}, True]
        for value in odd:
            for path, body in (
                ("/claims", {"class": value}),
                ("/claims", {"class": "pc", "name": value}),
                ("/claims", {"class": "arm", "image": value}),
                ("/claims", {"class": "pc", "ttl": value}),
                ("/boards/pc-1/runs", {"plan": value}),
                ("/boards/pc-1/deploy", {"image": value}),
                ("/boards/pc-1/power", {"action": value}),
                ("/principals", {"name": value}),
                ("/check", {"board": value}),
            ):
                answer = await api.admin.post(path, content=json.dumps(body))
                assert answer.status_code < 500, (path, value, answer.text)
            body = json.dumps({"kernel": value, "initrd": value})
            assert (await api.admin.put("/agents/amd64", content=body)).status_code == 422
        for path in ("/boards/%00", "/boards/..%2f", "/claims/%ff", "/runs/%F0%9F%90%8E", "/images/%0a"):
            assert (await api.admin.get(path)).status_code == 404, path
        for query in ("after=99999999999999999999", "after=-1", "follow=maybe", "after=x"):
            assert (await api.admin.get(f"/events?{query}")).status_code == 422, query
        assert (await api.admin.get("/boards/pc-1/trace?boot=99999999999999999999")).status_code == 200
