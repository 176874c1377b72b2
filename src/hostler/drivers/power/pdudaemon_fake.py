"""A pdudaemon with its HTTP listener and PDUs in memory; for tests and for trying."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_DELAY = "5"  # what pdudaemon waits before it switches when a request does not say


class FakePdudaemon:
    """A daemon that knows some PDUs and aliases.

    Attributes:
        outlets: What was asked for last, by hostname and port.
        delays: The delay of every request taken.
    """

    def __init__(self, pdus: list[str], aliases: dict[str, tuple[str, str]]) -> None:
        self.outlets: dict[tuple[str, str], str] = {}
        self.delays: list[str] = []
        self._pdus = pdus
        self._aliases = aliases

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen on a free port of loopback; yields ``host:port``."""
        application = web.Application()
        for verb in ("on", "off", "reboot"):
            application.router.add_get(f"/power/control/{verb}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            host, port = runner.addresses[0][:2]
            yield f"{host}:{port}"
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        alias, pdu, port = (request.query.get(key) for key in ("alias", "hostname", "port"))
        if alias and (pdu or port):
            return _refusal("Trying to use and alias and also a hostname/port")
        if alias:
            if alias not in self._aliases:
                return _refusal("Alias requested but not found")
            pdu, port = self._aliases[alias]
        if not pdu or not port:
            return _refusal("One of hostname,port,request was not set")
        if pdu not in self._pdus:
            return _refusal("PDU was not found in config")
        self.outlets[pdu, port] = request.path.rpartition("/")[2]
        self.delays.append(request.query.get("delay", _DELAY))
        return web.Response(text="OK - accepted request\n")


def _refusal(message: str) -> web.Response:
    return web.Response(status=500, text=f"Invalid request: {message}\n")
