"""The boot listener's connections: one machine that talks nonsense or opens too many harms nobody."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_OF_ONE = 64
"""Connections of one address at once: an agent has a dozen, a browser six; more are cut as they come."""

_CLIENT_HELLO = b"\x16\x03"
"""How every TLS connection begins: a handshake record of version 3 (RFC 8446 section 5.1)."""
_NO_TLS_HERE = bytes.fromhex("15 0301 0002 02 28")
"""The alert handshake_failure, fatal (section 6.2): a client that is told gives up at once and says why."""

log = logging.getLogger(__name__)


class _OwnFaults(logging.Filter):
    """Keeps out what was the client's fault: aiohttp logs a traceback for every request that is no HTTP."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, HttpProcessingError)


log.addFilter(_OwnFaults())


class _Connection(RequestHandler):
    """One connection; who speaks TLS is refused in its own words."""

    def __init__(self, server: BootConnections, **options: Any) -> None:
        super().__init__(server, **options)
        self._spoke_tls = server.spoke_tls
        self._begun = False

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        begun, self._begun = self._begun, True
        if begun or not data.startswith(_CLIENT_HELLO) or self.transport is None:
            super().data_received(data)
            return
        peer = self.transport.get_extra_info("peername")
        self.transport.write(_NO_TLS_HERE)
        self.transport.close()
        if peer:
            self._spoke_tls(str(peer[0]))


class BootConnections(web.Server):
    """aiohttp's server with a limit for each address.

    Args:
        handler: Answers requests.
        spoke_tls: Takes the address of a client that speaks TLS, which is not spoken here.
        options: As aiohttp's.
    """

    def __init__(self, handler: Any, spoke_tls: Callable[[str], None], **options: Any) -> None:
        super().__init__(handler, logger=log, **options)
        self.spoke_tls = spoke_tls
        self._options = options
        self._open: Counter[str] = Counter()
        self._hosts: dict[RequestHandler, str] = {}

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), logger=log, **self._options)

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
