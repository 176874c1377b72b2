"""The API for commands that came by ssh: through a Unix socket, as whoever logged in.

A command is a process of its own that speaks the API like any client. It shows a ticket that is good as long
as it runs; who it stands for was decided by the ssh key, so that no token need be made for it.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from hostler.hub.records import Principal
from hostler.hub.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send


URL = "http://hostler"
"""What a command calls the server; the name goes nowhere, the socket does."""


@dataclass(frozen=True, slots=True)
class _Bearer:
    principal: Principal
    source: Source


class ApiDoor:
    """Serves the API to commands.

    Args:
        app: The API.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tickets: dict[str, _Bearer] = {}
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The socket, while ``run`` is running."""
        assert self._path is not None
        return self._path

    async def run(self) -> None:
        """Serve until cancelled."""
        # Not in the state directory: the address of a Unix socket has 107 bytes at most (unix(7)).
        with tempfile.TemporaryDirectory(prefix="hostler-") as folder:
            path = Path(folder, "api.sock")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen(64)
                self._path = path
                config = uvicorn.Config(
                    self._admit,
                    log_config=None,
                    access_log=False,
                    lifespan="off",
                    ws="none",
                    interface="asgi3",
                    proxy_headers=False,
                )
                await _Server(config).serve(sockets=[listener])

    @contextlib.contextmanager
    def ticket(self, principal: Principal, source: Source) -> Iterator[str]:
        """Return a ticket that stands for somebody as long as the block runs."""
        ticket = secrets.token_urlsafe(32)
        self._tickets[ticket] = _Bearer(principal, source)
        try:
            yield ticket
        finally:
            del self._tickets[ticket]

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = (Headers(scope=scope).get("authorization") or "").removeprefix("Bearer ")
        bearer = self._tickets.get(shown)
        if bearer is None:
            await PlainTextResponse("only a command that is running may come in here", 401)(
                scope, receive, send
            )
            return
        scope["hostler.admitted"] = (bearer.principal, bearer.source)
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the whole process tree stops in one place."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
