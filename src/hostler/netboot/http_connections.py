"""The boot listener's connections: one machine that talks nonsense or opens too many harms nobody."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

MOST_OF_ONE = 64
"""Connections of one address at once: an agent has a dozen, a browser six; more are cut as they come."""


log = logging.getLogger(__name__)


class _OwnFaults(logging.Filter):
    """Keeps out what was the client's fault: aiohttp logs a traceback for every request that is no HTTP."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, HttpProcessingError)


log.addFilter(_OwnFaults())


class BootConnections(web.Server):
    """aiohttp's server with a limit for each address."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, logger=log, **options)
        self._open: Counter[str] = Counter()
        self._hosts: dict[RequestHandler, str] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, or cut it."""
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername")
        host = str(peer[0]) if peer else ""
        self._open[host] += 1
        self._hosts[handler] = host
        if self._open[host] > MOST_OF_ONE:
            # Not at once: aiohttp has yet to begin with it.
            asyncio.get_running_loop().call_soon(transport.abort)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        host = self._hosts.pop(handler, None)
        if host is not None:
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]
