"""Principals, projects, tokens and keys over REST, with the real ssh-keygen as the one who signs."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from served_lab import Served, served


def bearing(api: Served, token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=f"{api.url}/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=20,
        trust_env=False,
    )


async def ask(client, method, path, status=200, body=None, **params):
    answer = await client.request(method, path, json=body, params=params)
    assert answer.status_code == status, (method, path, answer.text)
    return answer.json() if answer.content else None


def kept(api: Served) -> tuple[object, ...]:
    """Return all that a refused request must not have changed."""
    state = api.lab.hub.state
    return (
        dict(state.principals), dict(state.projects), dict(state.keys), state.seq,
        dict(state.tokens),
    )  # fmt: skip


def make_key(directory: Path, name: str = "id", *options: str) -> Path:
    path = directory / name
    kind = options or ("-t", "ed25519")
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", name, "-f", path, *kind], check=True, timeout=60)
    return path


def sign(key: Path, message: bytes, namespace: str = "hostler-login") -> str:
    done = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key],
        input=message, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.decode()


async def test_a_token_is_narrower_than_its_owner(tmp_path: Path):
    """A token with a weaker role or one project lets nobody do more; one made with it is no wider."""
    async with served(tmp_path) as api:
        for name in ("red", "blue"):
            await ask(api.admin, "POST", "/projects", 201, {"name": name})
            await ask(api.admin, "PUT", f"/projects/{name}/members/anna", 200, {"role": "admin"})
        look = await ask(api.anna, "POST", "/tokens", 201, {"name": "wall", "role": "viewer"})
        red = await ask(api.anna, "POST", "/tokens", 201, {"project": "red"})
        async with bearing(api, look["token"]) as viewer, bearing(api, red["token"]) as only_red:
            me = await ask(viewer, "GET", "/me")
            assert (me["role"], {one["role"] for one in me["projects"]}) == ("viewer", {"viewer"})
            assert me["login"]["name"] == "wall"
            assert [one["name"] for one in (await ask(only_red, "GET", "/me"))["projects"]] == ["red"]
            await ask(viewer, "POST", "/claims", 403, {"class": "pc"})
            await ask(viewer, "PUT", "/projects/red/members/bert", 403, {"role": "member"})
            await ask(only_red, "PUT", "/projects/blue/members/bert", 403, {"role": "member"})
            await ask(only_red, "PUT", "/projects/red/members/bert", 200, {"role": "member"})
            wider = await ask(viewer, "POST", "/tokens", 201, {"role": "admin"})
            assert wider["role"] == "viewer"
            await ask(only_red, "POST", "/tokens", 403, {"project": "blue"})
            assert (await ask(only_red, "POST", "/tokens", 201, {}))["project"] == "red"
            key = make_key(tmp_path).with_suffix(".pub").read_text()
            for narrow in (viewer, only_red):
                await ask(narrow, "POST", "/keys", 403, {"key": key})
                await ask(narrow, "DELETE", "/tokens/first", 403)
            await ask(only_red, "DELETE", f"/tokens/{look['id']}", 403)
            await ask(viewer, "DELETE", f"/tokens/{wider['id']}", 204)
            await ask(viewer, "DELETE", "/me/tokens/current", 204)
            await ask(api.anna, "DELETE", f"/tokens/{red['id']}", 204)
        scoped = await ask(api.admin, "POST", "/tokens", 201, {"project": "red"})
        async with bearing(api, scoped["token"]) as boss:
            await ask(boss, "POST", "/principals", 403, {"name": "x"})
            await ask(boss, "PUT", "/projects/red/members/bert", 200, {"role": "viewer"})
            await ask(boss, "PATCH", "/projects/red", 403, {"weight": 3})


async def test_a_token_ends(tmp_path: Path):
    """Expired, revoked and used up: whoever shows such a token is refused and told which it is."""
    async with served(tmp_path) as api:
        now = api.lab.hub.now()
        short = await ask(api.anna, "POST", "/tokens", 201, {"expires": 0.05})
        once = await ask(api.anna, "POST", "/tokens", 201, {"once": True})
        gone = await ask(api.anna, "POST", "/tokens", 201, {"name": "ci", "expires": "30d"})
        await ask(api.anna, "DELETE", "/tokens/ci", 204)
        async with bearing(api, once["token"]) as client:
            await ask(client, "GET", "/me")
        while api.lab.hub.now() <= now + 0.1:
            await asyncio.sleep(0.01)
        for token, kind in ((short, "expired-token"), (once, "used-token"), (gone, "revoked-token")):
            async with bearing(api, token["token"]) as client:
                problem = await ask(client, "GET", "/me", 401)
            assert problem["type"].endswith(kind)
        listed = await ask(api.anna, "GET", "/tokens", ended=True)
        assert {one["id"]: one["state"] for one in listed} | {} == {
            listed[0]["id"]: "good", short["id"]: "expired", once["id"]: "used", gone["id"]: "revoked"
        }  # fmt: skip
        assert [one["state"] for one in await ask(api.anna, "GET", "/tokens")] == ["good"]
        await ask(api.anna, "DELETE", "/me/tokens/current", 204)
        await ask(api.anna, "GET", "/me", 401)


async def test_a_token_is_used_once_by_one(tmp_path: Path):
    """Of many who show a one-time token at the same moment exactly one is let in."""
    async with served(tmp_path) as api:
        once = await ask(api.anna, "POST", "/tokens", 201, {"once": True})
        async with bearing(api, once["token"]) as client:
            answers = await asyncio.gather(*(client.get("/me") for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] + 7 * [401]


async def test_a_one_time_token_is_exchanged(tmp_path: Path):
    """Who is given a one-time token logs in with it and gets one that lasts; a lasting one stays as it is."""
    async with served(tmp_path) as api:
        await ask(api.admin, "POST", "/principals", 201, {"name": "carol"})
        invitation = await ask(api.admin, "POST", "/tokens", 201, {"for": "carol", "once": True})
        got = await ask(
            api.anonymous, "POST", "/login/token", 200, {"token": invitation["token"], "name": "pc"}
        )
        assert (got["principal"], got["token"] != invitation["token"]) == ("carol", True)
        assert got["expires"]
        async with bearing(api, got["token"]) as carol:
            assert (await ask(carol, "GET", "/me"))["login"]["name"] == "pc"
        again = await ask(api.anonymous, "POST", "/login/token", 200, {"token": got["token"]})
        assert again["token"] == got["token"]
        problem = await ask(api.anonymous, "POST", "/login/token", 401, {"token": invitation["token"]})
        assert problem["type"].endswith("used-token")


async def test_who_is_shut_out_is_out_at_once(tmp_path: Path):
    """Disabling, demoting and removing somebody, and revoking a token, end what is open that moment."""
    async with served(tmp_path) as api:

        async def ends(change) -> None:
            token = await ask(api.admin, "POST", "/tokens", 201, {"for": "anna"})
            headers = {"Authorization": f"Bearer {token['token']}"}
            url = f"{api.url}/api/v1/events?follow=true"
            async with (
                httpx2.AsyncClient(timeout=20, trust_env=False) as client,
                client.stream("GET", url, headers=headers) as stream,
            ):
                assert stream.status_code == 200
                await change(token)
                async for _ in stream.aiter_lines():
                    pass  # it ends; else the client's deadline fails the test

        async def disable(_token):
            await ask(api.admin, "PATCH", "/principals/anna", 200, {"disabled": True})

        await ends(disable)
        assert (await ask(api.anna, "GET", "/me", 401))["type"].endswith("disabled")
        await ask(api.admin, "PATCH", "/principals/anna", 200, {"disabled": False})
        await ask(api.anna, "GET", "/me")

        async def demote(_token):
            await ask(api.admin, "PATCH", "/principals/anna", 200, {"role": "viewer"})

        await ends(demote)

        async def revoke(token):
            await ask(api.admin, "DELETE", f"/tokens/{token['id']}", 204)

        await ends(revoke)

        async def remove(_token):
            await ask(api.admin, "DELETE", "/principals/anna", 204)

        await ends(remove)
        assert (await ask(api.anna, "GET", "/me", 401))["type"].endswith("unknown-token")


async def test_a_console_ends_with_its_principal(tmp_path: Path):
    """An open console of somebody who is shut out is closed and says why."""
    async with served(tmp_path) as api:
        await ask(api.anna, "POST", "/claims", 201, {"class": "pc"})
        url = f"{api.url.replace('http', 'ws')}/api/v1/boards/pc-1/console?mode=write"
        headers = {"Authorization": f"Bearer {api.tokens['anna']}"}
        async with connect(url, additional_headers=headers, proxy=None) as console:
            await console.recv()
            await ask(api.admin, "PATCH", "/principals/anna", 200, {"disabled": True})
            async with asyncio.timeout(60):
                await console.wait_closed()
            assert console.close_code == 4401
            assert "shut out" in str(console.close_reason)


async def test_a_key_logs_in(tmp_path: Path):
    """Whoever signs a fresh challenge with a registered key gets a token; with anything else, nobody does."""
    async with served(tmp_path) as api:
        mine, other = make_key(tmp_path, "mine"), make_key(tmp_path, "other")
        host = api.url.removeprefix("http://")
        public = mine.with_suffix(".pub").read_text()
        added = await ask(api.anna, "POST", "/keys", 201, {"key": public, "name": "laptop"})
        told = subprocess.run(
            ["ssh-keygen", "-lf", f"{mine}.pub"], capture_output=True, text=True, check=True
        )
        assert added["fingerprint"] == told.stdout.split()[1]
        assert api.lab.hub.principal_of_key(added["fingerprint"]).name == "anna"

        async def challenge(key: Path) -> str:
            body = {"key": key.with_suffix(".pub").read_text()}
            return (await ask(api.anonymous, "POST", "/login/ssh-challenge", 200, body))["challenge"]

        async def login(key: Path, nonce: str, signature: str, status: int = 200):
            public = key.with_suffix(".pub").read_text()
            body = {"key": public, "challenge": nonce, "host": host, "signature": signature}
            return await ask(api.anonymous, "POST", "/login/ssh", status, {**body, "name": "laptop"})

        def named(nonce: str) -> bytes:
            return f"{nonce} {host}".encode()

        nonce = await challenge(mine)
        signed = sign(mine, named(nonce))
        refused = []
        unknown = await challenge(other)
        for key, text, signature in (
            (mine, nonce, sign(mine, named(nonce), "file")),  # made for something else
            (mine, nonce, sign(other, named(nonce))),  # by another key
            (mine, nonce, sign(mine, nonce.encode())),  # for no host
            (mine, nonce, sign(mine, f"{nonce} lab.example:8066".encode())),  # for another host
            (mine, nonce, "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"),
            (
                mine,
                base64.b64encode(bytes(72)).decode(),
                sign(mine, named(base64.b64encode(bytes(72)).decode())),
            ),  # not a challenge of ours
            (other, nonce, sign(other, named(nonce))),  # a challenge for another key
            (other, unknown, sign(other, named(unknown))),  # nobody's key
        ):
            refused.append(await login(key, text, signature, 401))
        assert len({str(problem) for problem in refused}) == 1  # which of it was wrong is not told
        got = await login(mine, nonce, signed)
        assert got["principal"] == "anna"
        async with bearing(api, got["token"]) as anna:
            assert (await ask(anna, "GET", "/me"))["login"]["name"] == "laptop"
        await login(mine, nonce, signed, 401)  # a challenge is good for one login
        await ask(api.anna, "DELETE", f"/keys/{added['fingerprint']}", 204)
        nonce = await challenge(mine)
        await login(mine, nonce, sign(mine, named(nonce)), 401)


async def test_guessing_ends(tmp_path: Path):
    """After ten failed logins an address has to wait, whatever it shows."""
    async with served(tmp_path) as api:
        body = {"token": "hst_guess"}
        for _ in range(10):
            await ask(api.anonymous, "POST", "/login/token", 401, body)
        await ask(api.anonymous, "POST", "/login/token", 429, body)
        await ask(api.anonymous, "POST", "/login/token", 429, {"token": api.tokens["anna"]})
        await ask(api.anna, "GET", "/me")  # who has a token is not kept out by others


BAD_KEYS = [
    ("", "not a public ssh key"),
    ("ssh-ed25519", "one line"),
    ("ssh-ed25519 AAAA", "not a public ssh key"),
    ("ssh-ed25519 !!!!", "not a public ssh key"),
    ("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIF+aqlpLTxyIzuxlJYPZvblr9CcB/Wx8NsE8rV0hraWQ", "public ssh key"),
    ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF+aqlpLTxyIzuxlJYPZvblr9CcB/Wx8NsE8rV0hraWQ a\nb c", "one line"),
    ("ssh-dss AAAAB3NzaC1kc3M=", "DSA"),
    ('command="x" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF', "no kind of key"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", "no kind of key"),
]


async def test_bad_keys_are_refused(tmp_path: Path):
    """A malformed or weak key, and one that is somebody's, is refused with its reason and changes nothing."""
    async with served(tmp_path) as api:
        good = make_key(tmp_path).with_suffix(".pub").read_text()
        weak = make_key(tmp_path, "weak", "-t", "rsa", "-b", "1024").with_suffix(".pub").read_text()
        await ask(api.anna, "POST", "/keys", 201, {"key": good})
        before = kept(api)
        for text, why in (*BAD_KEYS, (weak, "too weak")):
            problem = await ask(api.bert, "POST", "/keys", 422, {"key": text})
            assert why in problem["detail"], text
            await ask(api.anonymous, "POST", "/login/ssh-challenge", 422, {"key": text})
        assert "somebody's" in (await ask(api.bert, "POST", "/keys", 409, {"key": good}))["detail"]
        await ask(api.bert, "POST", "/keys", 403, {"key": good, "for": "anna"})
        await ask(api.bert, "DELETE", "/keys/SHA256:nothing", 404)
        assert kept(api) == before


BAD = [
    ("POST", "/principals", {"name": "x y"}, 422, "is not a name"),
    ("POST", "/principals", {"name": "x", "role": "boss"}, 422, "role"),
    ("POST", "/principals", {"name": "anna"}, 409, "already"),
    ("PATCH", "/principals/nobody", {"role": "member"}, 404, "nobody"),
    ("PATCH", "/principals/admin", {"role": "member"}, 409, "last admin"),
    ("PATCH", "/principals/admin", {"disabled": True}, 409, "last admin"),
    ("DELETE", "/principals/admin", None, 409, "last admin"),
    ("POST", "/projects", {"name": "../x"}, 422, "not a project name"),
    ("POST", "/projects", {"name": "default"}, 409, "already"),
    ("POST", "/projects", {"name": "p", "weight": 0}, 422, "weight"),
    ("POST", "/projects", {"name": "p", "weight": "nan"}, 422, "weight"),
    ("POST", "/projects", {"name": "p", "priority": -1}, 422, "priority"),
    ("POST", "/projects", {"name": "p", "quotas": {"pc": "many"}}, 422, "quotas"),
    ("POST", "/projects", {"name": "p", "quotas": {"pc": -1}}, 422, "quota"),
    ("POST", "/projects", {"name": "p", "quotas": {"mars": 1}}, 422, "mars"),
    ("PATCH", "/projects/none", {"weight": 1}, 404, "none"),
    ("DELETE", "/projects/default", None, 409, "stays"),
    ("PUT", "/projects/red/members/nobody", {"role": "member"}, 404, "nobody"),
    ("PUT", "/projects/red/members/anna", {"role": "king"}, 422, "role"),
    ("PUT", "/projects/none/members/anna", {"role": "member"}, 404, "none"),
    ("DELETE", "/projects/red/members/bert", None, 404, "bert"),
    ("POST", "/tokens", {"expires": "2001-01-01T00:00:00Z"}, 422, "ended already"),
    ("POST", "/tokens", {"expires": 0}, 422, "ended already"),
    ("POST", "/tokens", {"expires": "soon"}, 422, "expires"),
    ("POST", "/tokens", {"expires": "9000d"}, 422, "at most"),
    ("POST", "/tokens", {"role": "boss"}, 422, "role"),
    ("POST", "/tokens", {"project": "none"}, 404, "none"),
    ("POST", "/tokens", {"for": "nobody"}, 404, "nobody"),
    ("POST", "/tokens", {"name": "a\nb"}, 422, "one line"),
    ("DELETE", "/tokens/t-nothing", None, 404, "t-nothing"),
    ("GET", "/tokens?principal=nobody", None, 404, "nobody"),
]


async def test_bad_requests_change_nothing(tmp_path: Path):
    """Each is refused with a problem body that names the thing, and nothing is otherwise than before."""
    async with served(tmp_path) as api:
        await ask(api.admin, "POST", "/projects", 201, {"name": "red", "quotas": {"pc": 2}})
        before = kept(api)
        for method, path, body, status, named in BAD:
            answer = await api.admin.request(method, path, json=body)
            assert answer.status_code == status, (method, path, body, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert named in answer.json()["detail"], (path, body, answer.text)
        assert kept(api) == before


async def test_projects(tmp_path: Path):
    """A project has weight, priority, quotas and members; with open claims it is not removed."""
    async with served(tmp_path) as api:
        terms = {"name": "red", "weight": 2, "priority": 5, "quotas": {"pc": 1, "*": 10}}
        made = await ask(api.admin, "POST", "/projects", 201, terms)
        assert {key: made[key] for key in terms} == terms
        await ask(api.admin, "POST", "/projects", 409, {"name": "hostler"})  # its members would own checks
        await ask(api.admin, "PUT", "/projects/red/members/anna", 200, {"role": "admin"})
        await ask(api.anna, "PUT", "/projects/red/members/bert", 200, {"role": "viewer"})
        await ask(api.bert, "PUT", "/projects/red/members/bert", 403, {"role": "admin"})
        changed = await ask(api.admin, "PATCH", "/projects/red", 200, {"quotas": {"pc": None, "arm": 0}})
        assert changed["quotas"] == {"*": 10, "arm": 0}
        assert changed["members"] == {"anna": "admin", "bert": "viewer"}
        assert [one["name"] for one in await ask(api.bert, "GET", "/projects")] == ["red"]
        assert [one["name"] for one in await ask(api.admin, "GET", "/projects")] == ["default", "red"]
        claim = await ask(api.anna, "POST", "/claims", 201, {"class": "pc"})
        await ask(api.bert, "POST", "/claims", 403, {"class": "pc"})
        assert claim["id"] in (await ask(api.admin, "DELETE", "/projects/red", 409))["detail"]
        await ask(api.anna, "DELETE", f"/claims/{claim['id']}", 202)
        while (await ask(api.anna, "GET", f"/claims/{claim['id']}"))["state"] != "closed":
            await asyncio.sleep(0.01)
        await ask(api.admin, "DELETE", "/projects/red", 204)
        assert [one["name"] for one in await ask(api.bert, "GET", "/projects")] == ["default"]


async def test_every_change_tells_from_where(tmp_path: Path):
    """Each event that somebody caused says who, what, when, by which door, address and token; no secret."""
    async with served(tmp_path) as api:
        key = make_key(tmp_path).with_suffix(".pub").read_text()
        await ask(api.anna, "POST", "/keys", 201, {"key": key})
        token = await ask(api.anna, "POST", "/tokens", 201, {"name": "x"})
        async with bearing(api, token["token"]) as anna:
            claim = await ask(anna, "POST", "/claims", 201, {"class": "pc"})
            await ask(anna, "POST", "/boards/pc-1/power", 202, {"action": "on"})
            await ask(anna, "DELETE", f"/claims/{claim['id']}", 202)
        audit = await ask(api.admin, "GET", "/events", audit=True, principal="anna")
        kinds = {event["kind"] for event in audit}
        assert {"key.added", "token.created", "claim.created", "claim.granted", "claim.releasing"} <= kinds
        for event in audit:
            assert event["principal"] == "anna"
            assert event["data"]["source"]["via"] == "api"
            assert event["data"]["source"]["address"] == "127.0.0.1"
        used = {event["data"]["source"]["token"] for event in audit if event["kind"].startswith("claim.")}
        assert used == {token["id"]}
        everything = str(await ask(api.admin, "GET", "/events"))
        assert token["token"] not in everything
        assert key.split()[1] not in everything
        assert all(text not in everything for text in api.tokens.values())
        since = await ask(api.admin, "GET", "/events", audit=True, since="2001-01-01T00:00:00Z")
        assert len(since) > len(audit)
        assert await ask(api.admin, "GET", "/events", audit=True, since="2100-01-01") == []
        assert len(await ask(api.admin, "GET", "/events", since="1h", kind="key.*")) == 1


async def test_what_bert_does_is_not_annas(tmp_path: Path):
    """What follows for one from another's request is not said to have come from the other's address."""
    async with served(tmp_path, hang=False) as api:
        first = await ask(api.bert, "POST", "/claims", 201, {"class": "arm"})
        waiting = await ask(api.anna, "POST", "/claims", 201, {"class": "arm", "wait": True})
        await ask(api.bert, "DELETE", f"/claims/{first['id']}", 202)
        while (await ask(api.anna, "GET", f"/claims/{waiting['id']}"))["state"] != "active":
            await asyncio.sleep(0.01)
        events = await ask(api.admin, "GET", "/events", kind="claim.granted")
        granted = [event for event in events if event["claim"] == waiting["id"]]
        assert len(granted) == 1
        assert "source" not in granted[0]["data"]


@pytest.mark.parametrize("bad", ["", "yesterday", "-1"])
async def test_since_is_checked(tmp_path: Path, bad: str):
    """A start of the audit that is no time is refused."""
    async with served(tmp_path) as api:
        await ask(api.admin, "GET", "/events", 422, since=bad)
