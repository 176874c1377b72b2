"""Logins that an OpenID Connect provider vouches for."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hostler.client.oidc import login_by_oidc
from hostler.hub.errors import UnauthenticatedError
from hostler.hub.inventory import OidcPlan
from hostler.hub.oidc import OidcVerifier
from hostler.hub.oidc_provider import Descriptions
from oidc_provider import CLIENT, Provider, oidc_provider
from served_lab import Served, served
from simulated_rack import LAB


@asynccontextmanager
async def lab_with(directory: Path, more: str = ""):
    with oidc_provider() as provider:
        lab = LAB + f'\n[lab.oidc]\nissuer = "{provider.issuer}"\nclient_id = "{CLIENT}"\n{more}'
        async with served(directory, lab=lab) as api:
            yield api, provider


async def log_in(api: Served, id_token: str, status: int = 200, **more):
    answer = await api.anonymous.post("/login/oidc", json={"id_token": id_token, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_whom_the_provider_vouches_for(tmp_path: Path):
    """A principal that an admin linked logs in by a good token, once with each; nobody else does."""
    async with lab_with(tmp_path) as (api, provider):
        assert (await api.anonymous.get("/login/oidc")).json() == {
            "issuer": provider.issuer,
            "client_id": CLIENT,
        }
        token = provider.token()
        problem = await log_in(api, token, 401)
        assert "principal link USER 4711" in problem["detail"]
        assert (await api.admin.put("/principals/anna/link", json={"sub": "4711"})).status_code == 200
        assert (await api.admin.put("/principals/bert/link", json={"sub": "4711"})).status_code == 409
        got = await log_in(api, provider.token(nonce="n"), nonce="n", name="laptop")
        assert (got["principal"], got["token"][:4]) == ("anna", "hst_")
        me = await api.anonymous.get("/me", headers={"Authorization": f"Bearer {got['token']}"})
        assert me.json()["login"]["name"] == "laptop"
        made = [event for event in await api.lab.hub.history.page(0) if event.kind == "token.created"]
        assert made[-1].data["source"] == {"via": "oidc", "address": "127.0.0.1", "token": ""}
        again = provider.token()
        await log_in(api, again)
        assert "used already" in (await log_in(api, again, 401))["detail"]
        await api.admin.patch("/principals/anna", json={"disabled": True})
        assert "disabled" in (await log_in(api, provider.token(), 401))["detail"]


async def test_bad_tokens(tmp_path: Path):
    """Another issuer, audience, key, algorithm or time, a missing claim or a wrong nonce: not let in."""
    async with lab_with(tmp_path, "auto_create = true\n") as (api, provider):
        now = time.time()
        stranger = rsa.generate_private_key(65537, 2048)
        name = {"preferred_username": "carol"}
        before = dict(api.lab.hub.state.principals)
        for token in (
            provider.token(iss="https://evil.example", **name),
            provider.token(aud="another", **name),
            provider.token(aud=["another", CLIENT], azp="another", **name),
            provider.token(exp=now - 120, **name),
            provider.token(exp=None, **name),
            provider.token(sub=None, **name),
            provider.token(key=stranger, **name),
            provider.token(kid="unknown", **name),
        ):
            await log_in(api, token, 401)
        assert api.lab.hub.state.principals == before


async def test_more_bad_tokens(tmp_path: Path):
    """Nor by a secret for a key, without a signature, for another request, or with a name that is none."""
    async with lab_with(tmp_path, "auto_create = true\n") as (api, provider):
        name = {"preferred_username": "carol"}
        before = dict(api.lab.hub.state.principals)
        for token, more in [
            (provider.token(key="x" * 32, alg="HS256", **name), {}),
            (provider.token(alg="none", **name), {}),
            (provider.token(nonce="a", **name), {"nonce": "b"}),
            (provider.token(**name), {"nonce": "b"}),
            (provider.token(), {}),  # says no name
            (provider.token(preferred_username="a b"), {}),
            ("nonsense", {}),
        ]:
            await log_in(api, token, 401, **more)
        assert api.lab.hub.state.principals == before
        await log_in(api, provider.token(preferred_username="anna"), 409)


async def test_first_login_makes_a_principal(tmp_path: Path):
    """With auto_create who comes first is made, in the projects the provider names that there are."""
    more = 'auto_create = true\nproject_claim = "groups"\nname_claim = "nick"\n'
    async with lab_with(tmp_path, more) as (api, provider):
        await api.admin.post("/projects", json={"name": "camera"})
        said = {"nick": "carol", "groups": ["camera", "nothing-here"]}
        assert (await log_in(api, provider.token(**said)))["principal"] == "carol"
        carol = (await api.admin.get("/principals/carol")).json()
        assert (carol["role"], carol["projects"]) == ("member", [{"name": "camera", "role": "member"}])
        await log_in(api, provider.token(**said | {"nick": "renamed"}))  # known by her subject
        assert "renamed" not in api.lab.hub.state.principals


async def test_a_new_key_is_fetched():
    """Keys are kept; a token by a key nobody knows has them asked for again, but not each time."""
    with oidc_provider() as provider:
        now = [1000.0]
        clock = lambda: now[0]  # noqa: E731
        verifier, plan = OidcVerifier(clock, Descriptions(clock)), OidcPlan(provider.issuer, CLIENT)
        for _ in range(2):
            await verifier.verify(plan, provider.token(), None)
        assert provider.asked.count("/keys") == 1
        provider.key, provider.name = rsa.generate_private_key(65537, 2048), "second"
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(plan, provider.token(), None)
        assert provider.asked.count("/keys") == 1
        now[0] += 60
        assert (await verifier.verify(plan, provider.token(), None))["sub"] == "4711"
        assert provider.asked.count("/keys") == 2


async def test_a_provider_that_is_away(tmp_path: Path):
    """A provider that does not answer is told apart from a token that is not good."""
    lab = LAB + '\n[lab.oidc]\nissuer = "http://127.0.0.1:1"\nclient_id = "x"\n'
    async with served(tmp_path, lab=lab) as api:
        problem = await log_in(api, Provider(issuer="http://127.0.0.1:1").token(), 503)
        assert "does not answer" in problem["detail"]


async def test_the_device_flow(tmp_path: Path):
    """From a terminal: the address and the code are shown, and once somebody said yes there is a token."""
    async with lab_with(tmp_path, "auto_create = true\n") as (api, provider):
        provider.said = {"preferred_username": "dora"}
        shown = []
        got = await asyncio.to_thread(
            login_by_oidc, api.url, None, "pc", lambda where, code: shown.append((where, code))
        )
        assert got["principal"] == "dora"
        assert shown == [(f"{provider.issuer}/activate", "ABCD-EFGH")]
        assert provider.asked.count("/token") == 2
        assert api.lab.hub.state.principals["dora"].role == "member"


async def test_a_provider_is_https(tmp_path: Path):
    """An issuer that anybody on the way could play is refused when lab.toml is read."""
    async with served(tmp_path) as api:
        bad = LAB + '\n[lab.oidc]\nissuer = "http://id.example"\nclient_id = "x"\n'
        answer = await api.admin.put("/inventory", content=bad)
        assert answer.status_code == 422
        assert "https" in answer.json()["detail"]
        assert api.lab.hub.state.inventory.oidc is None
