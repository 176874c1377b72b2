"""A browser's login: a cookie no script reads, and that no page of another site can use."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from served_lab import Served, served
from simulated_rack import until


def browser(api: Served, **headers: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"{api.url}/api/v1", headers=headers, trust_env=False)


async def log_in(api: Served, asked: httpx2.AsyncClient, token: str) -> httpx2.Response:
    answer = await asked.post("/login/session", json={"token": token}, headers={"Origin": api.url})
    assert answer.status_code == 200, answer.text
    return answer


async def test_a_browser_gets_a_token_of_its_own(tmp_path: Path):
    """It is in a strict cookie and in no body, and logging out ends it alone."""
    async with served(tmp_path) as api, browser(api) as asked:
        answer = await log_in(api, asked, api.tokens["anna"])
        assert answer.json()["principal"] == "anna"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/api/v1" in cookie
        token = next(iter(asked.cookies.values()))
        assert token.startswith("hst_")
        assert token != api.tokens["anna"]
        assert token not in answer.text
        assert (await asked.get("/me")).json()["name"] == "anna"
        out = await asked.delete("/me/tokens/current", headers={"Origin": api.url})
        assert out.status_code == 204
        assert not asked.cookies
        assert (await asked.get("/me", headers={"Authorization": f"Bearer {token}"})).status_code == 401
        assert (await api.anna.get("/me")).status_code == 200


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:1", "null", "http://["])
async def test_another_site_cannot_act(tmp_path: Path, origin: str | None):
    """A change with the cookie must come from a page of this very server, port and all."""
    async with served(tmp_path) as api, browser(api) as asked:
        await log_in(api, asked, api.tokens["anna"])
        headers = {"Origin": origin} if origin else {}
        refused = await asked.post("/claims", json={"class": "pc"}, headers=headers)
        assert refused.status_code == 401
        assert not api.lab.hub.state.claims
        allowed = await asked.post("/claims", json={"class": "pc"}, headers={"Origin": api.url})
        assert allowed.status_code == 201


@pytest.mark.parametrize(("origin", "opens"), [("own", True), ("http://evil.example", False), (None, False)])
async def test_another_site_cannot_join_a_console(tmp_path: Path, origin: str | None, opens: bool):
    """A WebSocket has the cookie's rights only when a page of this server opens it."""
    async with served(tmp_path) as api, browser(api) as asked:
        await log_in(api, asked, api.tokens["anna"])
        await api.anna.post("/claims", json={"class": "pc"})
        await until(lambda: "pc-1" in api.lab.rack.boards)
        name, value = next(iter(asked.cookies.items()))
        headers = {"Cookie": f"{name}={value}"}
        if origin is not None:
            headers["Origin"] = api.url if origin == "own" else origin
        url = f"{api.url.replace('http', 'ws', 1)}/api/v1/boards/pc-1/console?mode=write"
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            if opens:
                assert (await socket.recv())[0] == 0
            else:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 4401


async def test_another_site_cannot_log_somebody_in(tmp_path: Path):
    """A foreign page cannot slip a visitor into an account that is not theirs."""
    async with served(tmp_path) as api, browser(api, Origin="http://evil.example") as asked:
        answer = await asked.post("/login/session", json={"token": api.tokens["anna"]})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_a_narrow_token_stays_narrow_and_ends_when_it_would(tmp_path: Path):
    """What a browser gets is no wider and lasts no longer than the token it was logged in with."""
    async with served(tmp_path) as api, browser(api) as asked:
        terms = {"name": "look", "role": "viewer", "expires": "1h"}
        narrow = (await api.anna.post("/tokens", json=terms)).json()
        answer = await log_in(api, asked, narrow["token"])
        assert answer.json()["expires"] == narrow["expires"]
        assert (await asked.get("/me")).json()["role"] == "viewer"
        refused = await asked.post("/claims", json={"class": "pc"}, headers={"Origin": api.url})
        assert refused.status_code == 403


async def test_an_invitation_is_used_up(tmp_path: Path):
    """A token that is good for one use logs one browser in."""
    async with served(tmp_path) as api, browser(api) as first, browser(api) as second:
        once = (await api.anna.post("/tokens", json={"name": "once", "once": True})).json()["token"]
        await log_in(api, first, once)
        assert (await first.get("/me")).json()["name"] == "anna"
        again = await second.post("/login/session", json={"token": once}, headers={"Origin": api.url})
        assert again.status_code == 401


async def test_the_header_counts_before_the_cookie(tmp_path: Path):
    """Who shows a token is whom it belongs to, whatever cookie the program has picked up."""
    async with served(tmp_path) as api, browser(api) as asked:
        await log_in(api, asked, api.tokens["anna"])
        shown = await asked.get("/me", headers={"Authorization": f"Bearer {api.tokens['bert']}"})
        assert shown.json()["name"] == "bert"
        wrong = await asked.get("/me", headers={"Authorization": "Bearer hst_wrong"})
        assert wrong.status_code == 401
