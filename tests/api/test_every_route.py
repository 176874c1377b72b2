"""Every route of the application, asked by everybody: a route without a row here fails the test."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi.routing import iter_route_contexts
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hostler.api.app import create_app
from served_lab import Served, served
from simulated_rack import until

WHO = ("anonymous", "other", "viewer", "owner", "admin")
"""Nobody; a member of another project; a viewer of the claim's project; its owner; an admin of the lab."""

PUBLIC = (200,) * 5
SIGNED_IN = (401, 200, 200, 200, 200)


def members(status: int) -> tuple[int, ...]:
    """Anybody signed in but those who may only look."""
    return (401, status, 403, status, status)


def project(status: int) -> tuple[int, ...]:
    """Whoever belongs to the project of the claim."""
    return (401, 403, status, status, status)


def holder(status: int) -> tuple[int, ...]:
    """Whoever may use the claim."""
    return (401, 403, 403, status, status)


def admins(status: int) -> tuple[int, ...]:
    """The lab's admins."""
    return (401, 403, 403, 403, status)


@dataclass(frozen=True)
class Row:
    """What to ask, and what each of ``WHO`` is answered (101: the WebSocket stays open)."""

    answers: tuple[int, ...]
    body: Any = None
    content: bytes | None = None
    query: str = ""
    headers: dict[str, str] | None = None


TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF+aqlpLTxyIzuxlJYPZvblr9CcB/Wx8NsE8rV0hraWQ"
# In this order: what ends the claim comes last. {name} is the board anna holds, {mac} a machine nobody knows.
ROUTES: dict[str, Row] = {
    "GET /healthz": Row(PUBLIC),
    "GET /metrics": Row(SIGNED_IN),
    "GET /ssh/ca": Row(PUBLIC),
    "POST /login/ssh-challenge": Row(PUBLIC, {"key": KEY}),
    "POST /login/ssh": Row(
        (401,) * 5, {"key": KEY, "challenge": "AAAA", "host": "127.0.0.1:1", "signature": "x"}
    ),
    "POST /login/token": Row((401,) * 5, {"token": "hst_x"}),
    "POST /login/session": Row((401,) * 5, {"token": "hst_x"}),
    "GET /login/ways": Row(PUBLIC),
    "POST /login/oidc/begin": Row((403,) * 5),  # no page asks
    "POST /login/oidc/finish": Row((403,) * 5, {"code": "x", "state": "x"}),
    "GET /login/oidc": Row((404,) * 5),  # this lab has no provider
    "POST /login/oidc": Row((404,) * 5, {"id_token": "x"}),
    "WS /ssh": Row((4503,) * 5),  # this server has no gateway; with one, ssh itself asks who comes
    "GET /openapi.json": Row(SIGNED_IN),
    "GET /me": Row(SIGNED_IN),
    "GET /classes": Row(SIGNED_IN),
    "GET /agents": Row(SIGNED_IN),
    "GET /agents/{arch}/files/{name}": Row((401, 404, 404, 404, 404)),  # no agent is registered
    "GET /health": Row(SIGNED_IN),
    "GET /inventory": Row(SIGNED_IN),
    "GET /images": Row(SIGNED_IN),
    "GET /images/{name}": Row(SIGNED_IN),
    "GET /images/{name}/index": Row(SIGNED_IN),
    "GET /boards": Row(SIGNED_IN),
    "GET /boards/{name}": Row(SIGNED_IN),
    "GET /boards/{name}/watch": Row(SIGNED_IN),
    "GET /boards/{name}/power": Row(SIGNED_IN),
    "GET /boards/{name}/health": Row(SIGNED_IN),
    "GET /claims": Row(SIGNED_IN),
    "GET /calendar": Row(SIGNED_IN),
    "GET /claims/{claim}": Row(SIGNED_IN),
    "GET /claims/{claim}/watch": Row(SIGNED_IN),
    "GET /runs": Row(SIGNED_IN),
    "GET /events": Row(SIGNED_IN),
    "GET /principals": Row(SIGNED_IN),
    "GET /projects": Row(SIGNED_IN),
    "GET /tokens": Row(SIGNED_IN),
    "GET /keys": Row(SIGNED_IN),
    # What came of a claim
    "GET /runs/{run_id}": Row(project(200)),
    "GET /boards/{name}/trace": Row(project(200)),
    "GET /boards/{name}/why": Row(project(200)),
    "GET /boards/{name}/packets": Row(project(409)),  # nothing was recorded of it
    "GET /boards/{name}/wipe-certificate": Row((401, 404, 404, 404, 404)),  # it was not wiped yet
    "GET /boards/{name}/wipe-certificate.pdf": Row((401, 404, 404, 404, 404)),
    "GET /boards/{name}/console/log": Row(holder(200)),
    "WS /boards/{name}/console": Row((4401, 4403, 4403, 101, 101), query="?mode=write"),
    # Who may do what
    "GET /principals/{name}": Row((401, 404, 200, 200, 200)),
    "POST /principals": Row(admins(201), {"name": "new"}),
    "PATCH /principals/{name}": Row(admins(200), {"role": "member"}),
    "PUT /principals/{name}/link": Row(admins(404), {"sub": "x"}),
    "GET /projects/{name}": Row((401, 404, 200, 200, 200)),
    "POST /projects": Row(admins(201), {"name": "green"}),
    "PATCH /projects/{name}": Row(admins(200), {"weight": 2}),
    "PUT /projects/{name}/members/{who}": Row(admins(200), {"role": "member"}),
    "DELETE /projects/{name}/members/{who}": Row(admins(204)),
    "DELETE /projects/{name}": Row(admins(409)),  # it has a claim
    "POST /tokens": Row((401, 201, 201, 201, 201), {"name": "x"}),
    "POST /keys": Row((401, 422, 422, 422, 422), {"key": "none"}),  # everybody may have keys
    "DELETE /tokens/{token_id}": Row((401, 404, 404, 204, 204)),
    "DELETE /keys/{key:path}": Row((401, 404, 404, 404, 404)),
    # The claim and its board, which is busy with a run
    "POST /boards/{name}/power": Row(holder(409), {"action": "on"}),
    "POST /boards/{name}/runs": Row(holder(409), {"plan": "wipe"}),
    "POST /boards/{name}/capture": Row(holder(409), {"as": "tiny2"}),
    "POST /boards/{name}/deploy": Row(holder(409), {"image": "tiny"}),
    "DELETE /runs/{run_id}": Row(holder(202)),
    "POST /boards/{name}/host-key": Row(holder(200), {"key": KEY}),
    "POST /boards/{name}/check": Row(holder(409), {}),
    "DELETE /boards/{name}/check": Row((401, 409, 409, 409, 409)),  # none goes on
    "POST /claims/{claim}/extend": Row(holder(200), {"by": 60}),
    "POST /claims/{claim}/alive": Row(holder(409)),
    "PUT /claims/{claim}/shares/{user}": Row(holder(200), {"sharing": "read"}),
    "DELETE /claims/{claim}/shares/{user}": Row((401, 403, 403, 200, 404)),  # once
    "POST /claims": Row((401, 201, 403, 201, 201), {"class": "arm", "wait": True}),
    # The lab
    "GET /check": Row(SIGNED_IN),
    "POST /check": Row(SIGNED_IN, {}),
    "POST /check/start": Row((401, 202, 202, 202, 202), {}),
    "DELETE /check": Row(admins(409)),  # none goes on
    "GET /leases": Row(SIGNED_IN),
    "GET /equipment": Row(SIGNED_IN),
    "GET /equipment/{name}": Row(SIGNED_IN),
    "GET /networks": Row(SIGNED_IN),
    "GET /networks/{network}/dhcp-lines/{kind}": Row((401, 422, 422, 422, 422)),
    "PUT /inventory": Row(admins(422), content=b"nonsense"),
    "PUT /agents/{arch}": Row(admins(422), {"kernel": "none", "initrd": "none"}),
    # Whoever sends nonsense is told so in the stream that tells how far it is.
    "POST /images/netboot": Row((401, 200, 403, 200, 200), content=b"x", query="?name=net"),
    "GET /images/{name}/diff": Row(SIGNED_IN, query="?other=tiny"),
    "GET /images/{name}/content": Row((401, 200, 403, 200, 200)),
    "GET /images/{name}/chunks": Row((401, 200, 403, 200, 200), query=f"?sha256={'0' * 64}"),
    "POST /images/{name}/fetch": Row((401, 200, 403, 200, 200)),
    "GET /images/{name}/bmap": Row((401, 200, 403, 200, 200)),
    "POST /images/{name}/shrink": Row((401, 200, 403, 200, 200), query="?new=smaller"),
    "POST /images/verify": Row((401, 200, 403, 200, 200)),
    "POST /images/sweep": Row(admins(200)),
    "POST /images": Row((401, 200, 403, 409, 409), content=b"x", query="?name=new&arch=amd64"),
    "OPTIONS /uploads": Row((401, 204, 204, 204, 204)),
    "GET /uploads": Row(SIGNED_IN),
    "POST /uploads": Row(members(201), headers={**TUS, "Upload-Length": "10"}),
    # One's own alone: for all others there is none.
    "PATCH /uploads/{upload_id}": Row((401, 404, 404, 204, 404), content=b"x", headers=PIECE),
    "DELETE /uploads/{upload_id}": Row((401, 404, 404, 204, 404), headers=TUS),
    "POST /images/{name}/signatures": Row(members(422), {"key": "none", "signature": "none"}),
    "DELETE /images/{name}/signatures/{key}": Row(holder(404)),
    "PATCH /images/{name}": Row(holder(200), {"project": None}),
    "DELETE /images/{name}": Row((401, 403, 403, 204, 404)),  # once
    "POST /discovered/{mac}/find-wires": Row(admins(404), {}),
    "GET /hooks": Row(admins(200)),
    "POST /hooks": Row(admins(422), {"url": "none"}),
    "POST /hooks/{hook_id}/test": Row(admins(404)),
    "DELETE /hooks/{hook_id}": Row(admins(404)),
    "POST /boards/{name}/health": Row(admins(202), {"action": "good"}),
    "POST /boards/{name}/training": Row(admins(409), {"boots": 1}),
    "POST /boards/{name}/recover": Row(admins(409)),
    "POST /boards/{name}/maintenance": Row(admins(202), {"reason": "x"}),
    "DELETE /boards/{name}/maintenance": Row(admins(202)),
    # The end
    "POST /claims/{claim}/hand-over": Row(holder(422), {"to": "anna"}),
    "POST /claims/{claim}/kick": Row(admins(202), {}),
    "DELETE /claims/{claim}": Row(holder(202)),
    "POST /power/all-off": Row(admins(202), {}),
    "DELETE /principals/{name}": Row(admins(204)),
    "DELETE /me/tokens/current": Row((401, 204, 204, 401, 204)),  # anna is no more
}


def routes(api: Served) -> set[str]:
    """Return every route the application answers, as in ``ROUTES``."""
    found = set()
    for context in iter_route_contexts(create_app(api.lab.hub).routes):
        path = str(context.path).removeprefix("/api/v1")
        methods = getattr(context.original_route, "methods", None) or {"WS"}
        found |= {f"{method} {path}" for method in methods - {"HEAD"}}
    return found


async def ask(api: Served, client: httpx2.AsyncClient, route: str, row: Row, path: str) -> int:
    """Ask a route and return its status; of a WebSocket 101 if it stays open, else its close code."""
    method = route.partition(" ")[0]
    prefix = "" if path in ("/healthz", "/metrics") else "/api/v1"
    url = f"{api.url}{prefix}{path}{row.query}"
    if method == "WS":
        headers = {k: v for k, v in client.headers.items() if k == "authorization"}
        async with connect(url.replace("http", "ws", 1), additional_headers=headers, proxy=None) as socket:
            try:
                async with asyncio.timeout(0.3):
                    await socket.recv()
            except TimeoutError:
                pass
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006
            return 101
    body = {"json": row.body} if row.body is not None else {"content": row.content}
    async with client.stream(method, url, headers=row.headers, **body) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            await answer.aread()
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", (route, answer.text)
        return answer.status_code


async def prepare(api: Served) -> dict[str, str]:
    """Let anna hold a board with a run, a boot, an image and a token; return what the paths name."""
    for name, members in (("red", {"anna": "member", "vera": "viewer"}), ("blue", {"bert": "member"})):
        assert (await api.admin.post("/projects", json={"name": name})).status_code == 201
        for who, role in members.items():
            if who == "vera":
                made = (await api.admin.post("/principals", json={"name": "vera"})).json()
                api.tokens["vera"] = made["token"]
            await api.admin.put(f"/projects/{name}/members/{who}", json={"role": role})
    image = await api.anna.post(
        "/images", params={"name": "tiny", "arch": "amd64"}, content=gzip.compress(bytes(4096))
    )
    assert image.status_code == 200
    claim = (await api.anna.post("/claims", json={"class": "pc", "project": "red"})).json()
    run = (await api.anna.post("/boards/pc-1/runs", json={"plan": "wipe"})).json()
    await until(lambda: api.lab.hub.state.observed["pc-1"].run)
    await api.lab.rack.boot(api.lab.rack.boards["pc-1"], "agent")
    await until(lambda: api.lab.hub.state.boards["pc-1"].boot)
    token = (await api.anna.post("/tokens", json={"name": "old"})).json()
    upload = await api.anna.post("/uploads", headers={**TUS, "Upload-Length": "1"})
    return {
        "claim": claim["id"], "run_id": run["id"], "token_id": token["id"], "key:path": "SHA256:none",
        "key": "none", "upload_id": upload.headers["location"].rpartition("/")[2],
        "arch": "amd64", "mac": "52:54:00:aa:aa:aa", "hook_id": "h-none", "user": "carl", "who": "carl",
    }  # fmt: skip


NAMES = {"boards": "pc-1", "images": "tiny", "principals": "anna", "projects": "red", "equipment": "rack1"}


async def test_every_route_has_its_rule(tmp_path: Path):
    """Each route answers nobody, strangers, viewers, owners and admins as the table says."""
    async with served(tmp_path, hang=True) as api:
        assert routes(api) == set(ROUTES), "a new route needs its row here"
        named = await prepare(api)
        await api.admin.post("/principals", json={"name": "carl"})
        vera = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {api.tokens['vera']}"}, timeout=20, trust_env=False
        )
        clients = dict(zip(WHO, (api.anonymous, api.bert, vera, api.anna, api.admin), strict=True))
        wrong = []
        async with vera:
            for route, row in ROUTES.items():
                path = route.split(" ")[1]
                noun = path.split("/")[1]
                for name, value in {**named, "name": NAMES.get(noun, "")}.items():
                    path = path.replace(f"{{{name}}}", value)
                for who, expected in zip(WHO, row.answers, strict=True):
                    before = api.lab.hub.state.seq
                    status = await ask(api, clients[who], route, row, path)
                    if status != expected:
                        wrong.append(f"{route} as {who}: {status}, not {expected}")
                    if expected in (401, 403, 404, 4401, 4403):
                        told = await api.lab.hub.history.page(before)
                        assert [e.text for e in told if e.principal in ("bert", "vera", "anna")] == [], (
                            route,
                            who,
                        )
        assert not wrong, "\n".join(wrong)
