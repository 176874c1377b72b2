"""The gate before every route: who asks, and not too much at once. No token, and nothing is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from hostler.api import session
from hostler.api.dismissal import serve_until
from hostler.api.problems import problem_response
from hostler.hub.errors import Refusal
from hostler.hub.hub import Hub
from hostler.hub.records import Principal
from hostler.hub.source import Source, coming_from

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/api/v1"
OPEN_PATHS = frozenset({"/healthz", f"{PREFIX}/ssh/ca"})
LOGIN_PATHS = f"{PREFIX}/login/"
"""Below it are the routes by which somebody comes by a token, and so asks without one."""
IMAGE_PATHS = frozenset({f"{PREFIX}/images", f"{PREFIX}/images/netboot"})
"""What is posted here is read as it comes, however long it is."""
LOGIN_BODY_LIMIT = 128 * 1024
UPLOAD_PATHS = f"{PREFIX}/uploads/"
"""Below it are files that come in pieces, as long as these are."""
BODY_LIMIT = 4 * 1024 * 1024
"""Longest body in bytes of anything but an image; an inventory of ten thousand boards is half of it."""


class TooLargeError(Refusal):
    """The body is longer than anything this route could use."""

    status = 413
    title = "Too large"


class Gate:
    """ASGI middleware: puts the principal into the scope, or refuses.

    A WebSocket passes with no principal: its refusal is a close code, which needs the handshake first.
    """

    def __init__(self, app: ASGIApp, hub: Hub, open_paths: frozenset[str] = OPEN_PATHS) -> None:
        self._app = app
        self._hub = hub
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(LOGIN_PATHS):
            await self._bounded(scope, receive, send, LOGIN_BODY_LIMIT)
            return
        if "hostler.admitted" in scope:  # by the ssh gateway, in this process: nothing from outside sets it
            principal, source = scope["hostler.admitted"]
            await self._serve(principal, source, scope, receive, send)
            return
        try:
            principal = await self._hub.authenticate(session.authorization(scope))
        except Refusal as refusal:
            if scope["type"] == "http":
                await problem_response(refusal)(scope, receive, send)
                return
            scope["hostler.principal"] = None
            await self._app(scope, receive, send)
            return
        source = Source(principal.name, "api", address(scope), principal.token)
        await self._serve(principal, source, scope, receive, send)

    async def _serve(
        self, principal: Principal, source: Source, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["hostler.principal"] = principal
        with coming_from(source):
            await serve_until(
                lambda: self._hub.logins.dismissed(principal), self._admitted, scope, receive, send
            )

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or _read_as_it_comes(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        await self._bounded(scope, receive, send, BODY_LIMIT)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        length = Headers(scope=scope).get("content-length", "0")
        too_large = TooLargeError(f"the body may have {limit} bytes at most")
        if not length.isdigit() or int(length) > limit:
            await problem_response(too_large)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise too_large
            return message

        await self._app(scope, counted, send)


def _read_as_it_comes(method: str, path: str) -> bool:
    """Whether a body is an image, or a piece of a file: it is written to the disk, and counted there."""
    return (method == "POST" and path in IMAGE_PATHS) or (method == "PATCH" and path.startswith(UPLOAD_PATHS))


def address(scope: Scope) -> str:
    """Return the network address of the other end, or an empty text."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _caller(connection: HTTPConnection) -> Principal:
    principal = connection.scope["hostler.principal"]
    assert isinstance(principal, Principal)
    return principal


async def _hub(connection: HTTPConnection) -> Hub:
    hub = connection.app.state.hub
    assert isinstance(hub, Hub)
    return hub


Caller = Annotated[Principal, Depends(_caller)]
"""Who asks."""

TheHub = Annotated[Hub, Depends(_hub)]
"""Whom to ask."""
