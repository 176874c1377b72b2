"""A browser's way to the lab's provider and back: the code flow against node-oidc-provider."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2

from foreign_provider import CLIENT, foreign_provider
from served_lab import Served, served
from simulated_rack import LAB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class Browser:
    """Somebody's browser: what the pages do, and what its owner does at the provider."""

    api: Served
    http: httpx2.AsyncClient

    async def post(self, path: str, body: object = None, origin: str | None = "") -> httpx2.Response:
        """Ask as a page of the server, or of another one."""
        headers = {} if origin is None else {"Origin": origin or self.api.url}
        return await self.http.post(f"{self.api.url}/api/v1/login/{path}", json=body, headers=headers)

    async def vouched_for(self, name: str) -> dict[str, str]:
        """Go to the provider, log in and agree there; returns what it sends the browser back with."""
        began = await self.post("oidc/begin")
        assert began.status_code == 200, began.text
        answer = await self.http.get(began.json()["location"])
        form = {"prompt": "login", "login": name, "password": "any"}
        for _ in range(20):
            if answer.is_redirect:
                where = answer.headers["location"]
                if where.startswith(f"{self.api.url}/login?"):
                    return {key: value for key, (value,) in parse_qs(urlsplit(where).query).items()}
                answer = await self.http.get(urljoin(str(answer.url), where))
                continue
            action = re.search(r'action="([^"]+)"', answer.text)
            assert action, answer.text
            form["prompt"] = "login" if 'value="login"' in answer.text else "consent"
            answer = await self.http.post(urljoin(str(answer.url), action[1]), data=form)
        raise AssertionError(f"the provider leads nowhere: {answer.text}")


@asynccontextmanager
async def two_browsers(directory: Path) -> AsyncIterator[tuple[Served, Browser, Browser]]:
    async with (
        served(directory) as api,
        httpx2.AsyncClient(trust_env=False) as one,
        httpx2.AsyncClient(trust_env=False) as other,
    ):
        provider = foreign_provider(f"{api.url}/login")
        issuer = await asyncio.to_thread(provider.__enter__)
        try:
            more = f'\n[lab.oidc]\nissuer = "{issuer}"\nclient_id = "{CLIENT}"\nauto_create = true\n'
            applied = await api.admin.put("/inventory", content=LAB + more)
            assert applied.status_code == 200, applied.text
            yield api, Browser(api, one), Browser(api, other)
        finally:
            await asyncio.to_thread(provider.__exit__, None, None, None)


async def test_a_browser_is_vouched_for(tmp_path: Path):
    """Who comes back with a code is logged in by a strict cookie; no token of anybody is in an answer."""
    async with two_browsers(tmp_path) as (api, browser, other):
        assert (await browser.http.get(f"{api.url}/api/v1/login/ways")).json()["oidc"]["client_id"] == CLIENT
        back = await browser.vouched_for("carol")
        stolen = await other.post("oidc/finish", back)
        assert stolen.status_code == 401
        assert "begun no login" in stolen.json()["detail"]
        answer = await browser.post("oidc/finish", back)
        assert answer.status_code == 200, answer.text
        assert answer.json()["principal"] == "carol"
        cookies = answer.headers.get_list("set-cookie")
        assert all("httponly" in one.lower() and "samesite=strict" in one.lower() for one in cookies)
        me = (await browser.http.get(f"{api.url}/api/v1/me")).json()
        assert (me["name"], me["role"], me["login"]["name"]) == ("carol", "member", "pages in a browser")
        for token in ("hst_", "eyJ"):
            assert token not in answer.text
        again = await browser.post("oidc/finish", back)
        assert again.status_code == 401


async def test_what_is_not_the_answer(tmp_path: Path):
    """An answer to another attempt, of another provider, or asked for by another site logs nobody in."""
    async with two_browsers(tmp_path) as (api, browser, other):
        before = dict(api.lab.hub.state.principals)
        back = await browser.vouched_for("carol")
        theirs = await other.vouched_for("mallory")
        for wrong, status, said in [
            (theirs, 401, "another login"),  # somebody's own answer slipped to another browser
            ({**back, "state": "x"}, 401, "another login"),
            ({**back, "state": "é"}, 401, "another login"),
            ({**back, "code": theirs["code"]}, 401, "does not take the code"),  # another one's verifier
            ({**back, "iss": "https://evil.example"}, 401, "another provider"),
        ]:
            answer = await browser.post("oidc/finish", wrong)
            assert (answer.status_code, said in answer.text) == (status, True), answer.text
        for origin in ("http://evil.example", "null", "http://[", None):
            assert (await browser.post("oidc/begin", origin=origin)).status_code == 403
            assert (await browser.post("oidc/finish", back, origin=origin)).status_code == 403
        assert api.lab.hub.state.principals == before
        assert (await browser.post("oidc/finish", back)).status_code == 200


async def test_no_provider_or_none_that_answers(tmp_path: Path):
    """A lab without a provider says that it has none; one that is away is told apart from a refusal."""
    async with served(tmp_path) as api:
        origin = {"Origin": api.url}
        assert (await api.anonymous.get("/login/ways")).json() == {"oidc": None}
        assert (await api.anonymous.post("/login/oidc/begin", headers=origin)).status_code == 404
        away = LAB + '\n[lab.oidc]\nissuer = "http://127.0.0.1:1"\nclient_id = "x"\n'
        assert (await api.admin.put("/inventory", content=away)).status_code == 200
        answer = await api.anonymous.post("/login/oidc/begin", headers=origin)
        assert answer.status_code == 503
        assert "does not answer" in answer.json()["detail"]


async def test_its_secret_is_a_reference(tmp_path: Path):
    """The lab's own password at the provider does not stand in lab.toml."""
    async with served(tmp_path) as api:
        bad = LAB + '\n[lab.oidc]\nissuer = "https://id.example"\nclient_id = "x"\nclient_secret = "hush"\n'
        answer = await api.admin.put("/inventory", content=bad)
        assert answer.status_code == 422
        assert "env:NAME" in answer.json()["detail"]
        assert "hush" not in answer.text
