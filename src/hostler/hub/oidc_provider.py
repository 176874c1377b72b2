"""Asking an OpenID Connect provider: its description (OpenID Connect Discovery 1.0) and its endpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hostler.hub.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER_SECONDS = 10.0
"""Longest silence of a provider."""
DESCRIBED_SECONDS = 3600.0
"""How long its description is believed without asking again."""
_ANSWER_BYTES = 512 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def protected(url: str) -> bool:
    """Tell whether nobody on the way can change what comes from an address."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


class Descriptions:
    """What the lab's provider says of itself, asked for when it is needed.

    Args:
        clock: Tells Unix time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: tuple[str, float, dict[str, Any]] | None = None

    async def endpoint(self, issuer: str, name: str) -> str:
        """Return one of a provider's addresses, such as ``jwks_uri``; raises UnavailableError."""
        where = (await self.described(issuer)).get(name)
        if not isinstance(where, str) or not protected(where):
            raise UnavailableError(f"{issuer} does not say what its {name} is", kind="oidc-provider")
        return where

    async def described(self, issuer: str) -> dict[str, Any]:
        """Return the description of a provider; raises UnavailableError."""
        now = self._clock()
        if self._last is not None:
            known, asked, described = self._last
            if known == issuer and 0 <= now - asked < DESCRIBED_SECONDS:
                return described
        _, described = await ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if described.get("issuer") != issuer:
            raise UnavailableError(
                f"{issuer} says that it is {described.get('issuer')}", kind="oidc-provider"
            )
        self._last = issuer, now, described
        return described


async def ask(
    url: str, form: Mapping[str, str] | None = None, *, auth: tuple[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON object at an address.

    Args:
        url: Where.
        form: What is posted; None: nothing, it is fetched, and anything but a success is an error.
        auth: Name and password for HTTP's basic authentication.

    Raises:
        UnavailableError: it does not answer as it should.
    """
    # Loaded when the first login comes.
    import httpx2

    local = urlsplit(url).hostname in _LOOPBACK
    method = "GET" if form is None else "POST"
    try:
        async with (
            httpx2.AsyncClient(timeout=ANSWER_SECONDS, trust_env=not local, auth=auth) as client,
            client.stream(method, url, data=form, headers={"Accept": "application/json"}) as answer,
        ):
            if form is None or answer.status_code >= 500:
                answer.raise_for_status()
            body = b""
            async for block in answer.aiter_bytes():
                body += block
                if len(body) > _ANSWER_BYTES:
                    raise UnavailableError(f"{url} answers with too much", kind="oidc-provider")
            document = json.loads(body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise UnavailableError(f"{url} does not answer as it should: {error}", kind="oidc-provider") from None
    if not isinstance(document, dict):
        raise UnavailableError(f"{url} does not answer as it should", kind="oidc-provider")
    return answer.status_code, document
