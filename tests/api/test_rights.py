"""Every route, as nobody and as somebody else."""

from __future__ import annotations

from pathlib import Path

from served_lab import served

HTTP = ("get", "post", "put", "delete", "patch")
# What another member must not do to what anna holds; with a body that would otherwise be good.
OTHERS = [
    ("POST", "/boards/pc-1/power", {"action": "on"}),
    ("POST", "/boards/pc-1/runs", {"plan": "wipe"}),
    ("POST", "/boards/pc-1/deploy", {"image": "tiny"}),
    ("POST", "/boards/pc-1/recover", None),
    ("GET", "/boards/pc-1/console/log", None),
    ("DELETE", "/runs/RUN", None),
    ("DELETE", "/claims/CLAIM", None),
    ("DELETE", "/images/tiny", None),
    ("PUT", "/inventory", None),
    ("PUT", "/agents/amd64", {"kernel": "/bin/sh", "initrd": "/bin/sh"}),
    ("POST", "/principals", {"name": "mallory", "role": "admin"}),
    ("DELETE", "/principals/admin", None),
]


async def test_every_route_needs_a_token(tmp_path: Path):
    """Whatever the API does not describe as open answers 401 without a token, and with a wrong one."""
    async with served(tmp_path) as api:
        schema = (await api.anna.get("/openapi.json")).json()
        routes = [
            (method, path)
            for path, methods in schema["paths"].items()
            for method, operation in methods.items()
            if method in HTTP and operation.get("security") != []
        ]
        assert len(routes) > 25
        for method, path in [*routes, ("get", "/api/v1/openapi.json"), ("get", "/api/v1/nothing")]:
            url = api.url + path.replace("{", "").replace("}", "")
            for headers in ({}, {"Authorization": "Bearer hst_wrong"}, {"Authorization": "Basic YTpi"}):
                answer = await api.anonymous.request(method.upper(), url, headers=headers, content=b"{")
                assert answer.status_code == 401, (method, path)
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"] == "Bearer"
        assert (await api.anonymous.get(f"/boards?token={api.tokens['admin']}")).status_code == 401


async def test_another_member_is_kept_out(tmp_path: Path):
    """What one member holds, another cannot act on or listen to."""
    async with served(tmp_path, hang=True) as api:
        claim = (await api.anna.post("/claims", json={"class": "pc"})).json()
        run = (await api.anna.post("/boards/pc-1/runs", json={"plan": "wipe"})).json()
        board = api.lab.hub.state.boards["pc-1"]
        while board.claim is None or not api.lab.hub.state.observed.get("pc-1"):
            await api.anna.get("/boards/pc-1")
        await api.lab.rack.boot(api.lab.rack.boards["pc-1"], "agent")
        while not api.lab.hub.state.boards["pc-1"].boot:
            await api.anna.get("/boards/pc-1")
        seq = api.lab.hub.state.seq
        for method, path, body in OTHERS:
            path = path.replace("RUN", run["id"]).replace("CLAIM", claim["id"])
            answer = await api.bert.request(method, path, json=body)
            assert answer.status_code in (403, 404), (method, path, answer.text)
        told = [event for event in await api.lab.hub.history.page(seq) if not event.trace]
        assert told == []


async def test_openapi_is_whole(tmp_path: Path):
    """The description is OpenAPI 3.1, every operation has an id of its own and says how it refuses."""
    async with served(tmp_path) as api:
        schema = (await api.anna.get("/openapi.json")).json()
        assert schema["openapi"].startswith("3.1")
        operations = [op for methods in schema["paths"].values() for op in methods.values()]
        ids = [operation["operationId"] for operation in operations]
        assert len(ids) == len(set(ids))
        assert all("default" in operation["responses"] for operation in operations)
        assert "Problem" in schema["components"]["schemas"]
