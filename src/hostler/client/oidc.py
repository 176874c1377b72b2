"""Logging in by an OpenID Connect provider from a terminal: the device flow of RFC 8628."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from hostler.client.errors import ClientError, NotFoundError, UnauthorizedError, UnreachableError
from hostler.client.settings import Settings
from hostler.client.transport import Transport, is_local

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

    from hostler.client.login import Granted

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SCOPE = "openid profile email"
_LONGEST_SECONDS = 900.0
"""How long we wait at most for somebody to say yes, whatever the provider allows."""
_USUAL_INTERVAL = 5.0  # RFC 8628 section 3.2
_SLOWER = 5.0  # RFC 8628 section 3.5


def login_by_oidc(url: str, ca: str | None, name: str, show: Callable[[str, str], None]) -> Granted:
    """Log in by the lab's provider.

    Args:
        url: The server.
        ca: Who vouches for it (PEM), or None.
        name: What the token is called in lists.
        show: Told the address somebody is to open, and the code to type there.

    Raises:
        ClientError: the lab has no provider, it said no, or nobody answered in time.
        UnreachableError: the server or the provider does not answer.
    """
    import httpx2

    transport = Transport(Settings(url, "", ca))
    try:
        try:
            lab = cast("dict[str, str]", transport.call("GET", "login/oidc"))
        except NotFoundError as error:
            raise ClientError(f"{url} has no OpenID Connect: {error}", "log in by ssh key or token") from None
        local = is_local(lab["issuer"])
        with httpx2.Client(timeout=10.0, trust_env=not local) as http:
            id_token = _id_token(http, lab["issuer"], lab["client_id"], show)
        try:
            body = {"id_token": id_token, "name": name}
            return cast("Granted", transport.call("POST", "login/oidc", body=body))
        except UnauthorizedError as error:
            raise ClientError(f"{url} does not let you in: {error}") from None
    finally:
        transport.close()


def _id_token(http: httpx2.Client, issuer: str, client: str, show: Callable[[str, str], None]) -> str:
    described = _ask(http, "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    begin, end = described.get("device_authorization_endpoint"), described.get("token_endpoint")
    if not _protected(begin) or not _protected(end):
        raise ClientError(f"{issuer} lets nobody log in from a terminal", "log in by ssh key or token")
    begun = _ask(http, "POST", str(begin), {"client_id": client, "scope": _SCOPE})
    where = begun.get("verification_uri_complete") or begun.get("verification_uri")
    if not isinstance(where, str) or "device_code" not in begun or "user_code" not in begun:
        raise ClientError(f"{issuer} does not answer as RFC 8628 says")
    show(where, str(begun["user_code"]))
    form = {"grant_type": _GRANT, "device_code": str(begun["device_code"]), "client_id": client}
    interval = float(begun.get("interval", _USUAL_INTERVAL))
    deadline = time.monotonic() + min(float(begun.get("expires_in", _LONGEST_SECONDS)), _LONGEST_SECONDS)
    while time.monotonic() < deadline:
        time.sleep(interval)
        answer = _ask(http, "POST", str(end), form, may_refuse=True)
        if isinstance(answer.get("id_token"), str):
            return str(answer["id_token"])
        error = answer.get("error")
        if error == "slow_down":
            interval += _SLOWER
        elif error != "authorization_pending":
            said = answer.get("error_description") or error or "no id_token"
            raise ClientError(f"{issuer} does not vouch for you: {said}")
    raise ClientError("nobody said yes in time", "run it again, and open the address at once")


def _ask(
    http: httpx2.Client,
    method: str,
    url: str,
    form: dict[str, str] | None = None,
    *,
    may_refuse: bool = False,
) -> dict[str, Any]:
    import httpx2

    try:
        answer = http.request(method, url, data=form)
        document = answer.json()
    except httpx2.RequestError as error:
        raise UnreachableError(f"cannot talk to {url}: {error}", "ask who runs the provider") from None
    except ValueError:
        document = None
    if not isinstance(document, dict) or (answer.status_code >= 400 and not may_refuse):
        said = (
            document.get("error_description") or document.get("error") if isinstance(document, dict) else ""
        )
        raise ClientError(f"{url} answered {answer.status_code} {said or ''}".rstrip())
    return document


def _protected(url: object) -> bool:
    return isinstance(url, str) and (urlsplit(url).scheme == "https" or is_local(url))
