"""A browser's login: a token in a cookie that scripts cannot read and other sites cannot use."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

SECONDS = 7 * 86400.0
"""How long a browser stays logged in at most."""
_PATH = "/api/v1"
_ATTEMPT_PATH = f"{_PATH}/login/oidc"
_HARMLESS = ("GET", "HEAD")


def begin(response: Response, scope: Scope, token: str) -> None:
    """Set the cookie."""
    response.set_cookie(
        _name(scope), token, max_age=int(SECONDS), path=_PATH, httponly=True, samesite="strict",
        secure=scope["scheme"] == "https",
    )  # fmt: skip


def end(response: Response, scope: Scope) -> None:
    """Take the cookie back."""
    response.delete_cookie(
        _name(scope), path=_PATH, httponly=True, samesite="strict", secure=scope["scheme"] == "https"
    )


def keep_attempt(response: Response, scope: Scope, secret: str, seconds: int) -> None:
    """Have the browser keep what its way to the lab's provider and back depends on; empty: forget it."""
    response.set_cookie(
        f"{_name(scope)}-oidc", secret, max_age=seconds if secret else 0, path=_ATTEMPT_PATH, httponly=True,
        samesite="strict", secure=scope["scheme"] == "https",
    )  # fmt: skip


def attempt(scope: Scope) -> str:
    """Return what ``keep_attempt`` had this browser keep; empty: nothing."""
    return _cookie(scope, f"{_name(scope)}-oidc") or ""


def authorization(scope: Scope) -> str | None:
    """Return what a request shows as its ``Authorization``: the header, or else the token of its cookie.

    A cookie is sent by the browser and not by the page, so that it counts only where no other site can have
    made the request: one that may change something, or a WebSocket, must come from a page of this server (the
    Fetch standard has browsers send ``Origin`` with each of those). Ports of one host are one site to
    ``SameSite``, but not here.
    """
    headers = Headers(scope=scope)
    shown = headers.get("authorization")
    if shown is not None or "cookie" not in headers:
        return shown
    if not from_own_page(scope) and not (scope["type"] == "http" and scope["method"] in _HARMLESS):
        return None
    token = _cookie(scope, _name(scope))
    return f"Bearer {token}" if token is not None else None


def from_own_page(scope: Scope) -> bool:
    """Tell whether a browser says that a page of this server asks."""
    return own_origin(scope) is not None


def own_origin(scope: Scope) -> str | None:
    """Return the address of this server as the browser whose page asks has dialled it; None: no page asks."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    try:
        host = urlsplit(origin or "").netloc
    except ValueError:  # no address at all, such as http://[
        return None
    return origin if host and host == headers.get("host") else None


def _cookie(scope: Scope, name: str) -> str | None:
    try:
        found = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(name)
    except CookieError:
        return None
    return found.value if found is not None else None


def _name(scope: Scope) -> str:
    """Return the cookie's name; with the port, as cookies are not kept apart by it and labs are."""
    port = Headers(scope=scope).get("host", "").rpartition(":")[2]
    return f"hostler-{port}" if port.isascii() and port.isdigit() else "hostler"
