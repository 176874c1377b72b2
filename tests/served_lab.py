"""A hub with its API on a real port of the loopback interface."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import uvicorn

from hostler.api.app import create_app
from hostler.hub.records import HUB
from hostler.hub.ssh_authority import SshAuthority
from simulated_rack import Lab, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class Served:
    """A running API.

    Attributes:
        lab: Hub and rack behind it.
        url: Where it answers.
        tokens: By name: ``admin``, ``anna``, ``bert``.
        admin: A client with the admin's token; ``anna`` and ``bert`` are members, ``anonymous`` has no token.
    """

    lab: Lab
    url: str
    tokens: dict[str, str]
    admin: httpx2.AsyncClient
    anna: httpx2.AsyncClient
    bert: httpx2.AsyncClient
    anonymous: httpx2.AsyncClient


@asynccontextmanager
async def served(directory: Path, **options: Any) -> AsyncIterator[Served]:
    """Serve a lab; everything ends with the block."""
    async with running(directory, **options) as lab:
        lab.hub.ssh_authority = SshAuthority(directory / "ssh")
        config = uvicorn.Config(
            create_app(lab.hub), host="127.0.0.1", port=0, log_level="warning", loop="asyncio",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve(sockets=None))
        try:
            while not server.started:
                assert not serving.done()
                await asyncio.sleep(0.005)
            port = server.servers[0].sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            assert lab.token
            tokens = {"admin": lab.token}
            for name in ("anna", "bert"):
                _, tokens[name] = await lab.hub.create_principal(HUB, name, "member")
            async with (
                _client(url, tokens["admin"]) as admin,
                _client(url, tokens["anna"]) as anna,
                _client(url, tokens["bert"]) as bert,
                _client(url, None) as anonymous,
            ):
                yield Served(lab, url, tokens, admin, anna, bert, anonymous)
        finally:
            server.should_exit = True
            await serving


def _client(url: str, token: str | None) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=20, trust_env=False)
