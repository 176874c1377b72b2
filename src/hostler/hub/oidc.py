"""Who somebody is by the word of an OpenID Connect provider: an id_token, checked against its keys.

OpenID Connect Core 1.0 section 3.1.3.7, keys as in RFC 7517.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.hub.errors import UnauthenticatedError, UnavailableError
from hostler.hub.oidc_provider import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostler.hub.inventory import OidcPlan
    from hostler.hub.oidc_provider import Descriptions

# Signatures only: with a shared secret whoever may check a token could also make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEYS_SECONDS = 3600.0
"""How long a provider's keys are believed without asking again."""
AGAIN_SECONDS = 30.0
"""How often at most they are asked for because a token names a key nobody knows."""
LEEWAY_SECONDS = 60.0
"""How far the clocks of provider and server may be apart."""


@dataclass(frozen=True, slots=True)
class _Keys:
    issuer: str
    fetched: float
    document: dict[str, Any]


class OidcVerifier:
    """Checks id_tokens of one provider at a time.

    Args:
        clock: Tells Unix time.
        descriptions: What the provider says of itself.
    """

    def __init__(self, clock: Callable[[], float], descriptions: Descriptions) -> None:
        self._clock = clock
        self._descriptions = descriptions
        self._keys: _Keys | None = None

    async def verify(self, plan: OidcPlan, id_token: str, nonce: str | None) -> Mapping[str, Any]:
        """Return what a token says, once issuer, audience, time, nonce and signature are right.

        Raises:
            UnauthenticatedError: it is not a good token of this provider for this lab.
            UnavailableError: the provider does not answer, or the server lacks what checks tokens.
        """
        try:
            import jwt
        except ImportError:
            raise UnavailableError(
                "this server cannot check OpenID Connect: install it with pip install 'hostler[oidc]'"
            ) from None
        try:
            header = jwt.get_unverified_header(id_token)
            if header.get("alg") not in ALGORITHMS:
                raise _refused("it is not signed as it should be")
            key = await self._key(plan.issuer, header)
            claims: dict[str, Any] = jwt.decode(
                id_token, key, algorithms=list(ALGORITHMS), audience=plan.client_id, issuer=plan.issuer,
                leeway=LEEWAY_SECONDS, options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise _refused(str(error)) from None
        audiences = claims["aud"]
        if isinstance(audiences, list) and len(audiences) > 1 and claims.get("azp") != plan.client_id:
            raise _refused("it was made for another client")
        if nonce is not None and claims.get("nonce") != nonce:
            raise _refused("it answers another request")
        return claims

    async def _key(self, issuer: str, header: Mapping[str, Any]) -> Any:
        import jwt

        now = self._clock()
        keys = self._keys
        if keys is None or keys.issuer != issuer or not 0 <= now - keys.fetched < KEYS_SECONDS:
            keys = self._keys = await self._fetch(issuer, now)
        found = _choose(keys.document, header)
        if found is None and now - keys.fetched >= AGAIN_SECONDS:
            keys = self._keys = await self._fetch(issuer, now)
            found = _choose(keys.document, header)
        if found is None:
            raise _refused("its key is none of the provider's")
        try:
            return jwt.PyJWK.from_dict(found, algorithm=header["alg"])
        except (ValueError, KeyError, TypeError, NotImplementedError) as error:
            raise _refused(f"its key cannot be used: {error}") from None

    async def _fetch(self, issuer: str, now: float) -> _Keys:
        _, keys = await ask(await self._descriptions.endpoint(issuer, "jwks_uri"))
        return _Keys(issuer, now, keys)


def _choose(document: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any] | None:
    listed = document.get("keys")
    keys = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
    keys = [key for key in keys if key.get("use", "sig") == "sig" and key.get("kty") != "oct"]
    if (name := header.get("kid")) is not None:
        keys = [key for key in keys if key.get("kid") == name]
    return keys[0] if len(keys) == 1 else None


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"the provider's token is not good: {why}", kind="login-failed")
