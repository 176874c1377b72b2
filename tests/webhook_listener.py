"""A real HTTP server that is posted to, and answers what a test wants."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Listener:
    """What arrived, and what is answered.

    Attributes:
        url: Where it listens.
        bodies: What was posted, as bytes.
        headers: The headers of each post.
        status: What is answered.
        gate: Posts are answered only while it is set.
        port: Its port, to listen there again.
    """

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 204
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was posted, read."""
        return [json.loads(body) for body in self.bodies]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events posted."""
        return [event["kind"] for event in self.events]

    async def take(self, request: web.Request) -> web.Response:
        """Take a post."""
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        await self.gate.wait()
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def listening(port: int = 0) -> AsyncIterator[Listener]:
    """Listen until the block ends."""
    listener = Listener()
    listener.gate.set()
    app = web.Application()
    app.router.add_post("/{path:.*}", listener.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    listener.port = runner.addresses[0][1]
    listener.url = f"http://127.0.0.1:{listener.port}/told"
    try:
        yield listener
    finally:
        listener.gate.set()
        await runner.cleanup()
