"""Logging a browser in at a provider: the authorization code flow with PKCE.

OpenID Connect Core 1.0 section 3.1, RFC 7636 (PKCE), RFC 9207 (issuer in the answer). The server redeems the
code: its own secret, the verifier and the provider's tokens are never in the page.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from hostler.hub.errors import UnauthenticatedError, UnavailableError
from hostler.hub.oidc_provider import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.inventory import OidcPlan
    from hostler.hub.oidc_provider import Descriptions

SCOPE = "openid profile email"
ATTEMPT_SECONDS = 900
"""How long somebody may take at the provider: as in the device flow."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One browser's way to the provider and back, kept by that browser alone.

    Attributes:
        secret: Random; state, nonce and verifier follow from it, and none of them from another.
        redirect: Where the provider sends the browser back to.
    """

    secret: str
    redirect: str

    @classmethod
    def begun(cls, redirect: str) -> Attempt:
        """Return a new one."""
        return cls(secrets.token_urlsafe(32), redirect)

    @property
    def state(self) -> str:
        """What the answer must bring back, so that it is an answer to this browser."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the id_token must say, so that it was made for this attempt."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What redeems the code, and is known to nobody on its way (RFC 7636 section 4.1)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier: S256 of RFC 7636 section 4.2."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, what: str) -> str:
        return _text(hmac.digest(self.secret.encode(), what.encode(), "sha256"))


class CodeFlow:
    """Sends browsers to the lab's provider and redeems what they bring back.

    Args:
        descriptions: What the provider says of itself.
        reveal: Returns the secret a reference stands for; raises ValueError.
    """

    def __init__(self, descriptions: Descriptions, reveal: Callable[[str], str]) -> None:
        self._descriptions = descriptions
        self._reveal = reveal

    async def address(self, plan: OidcPlan, attempt: Attempt) -> str:
        """Return where a browser is to go; raises UnavailableError."""
        where = await self._descriptions.endpoint(plan.issuer, "authorization_endpoint")
        query = urlencode({
            "response_type": "code", "client_id": plan.client_id, "redirect_uri": attempt.redirect,
            "scope": SCOPE, "state": attempt.state, "nonce": attempt.nonce,
            "code_challenge": attempt.challenge, "code_challenge_method": "S256",
        })  # fmt: skip
        return f"{where}{'&' if '?' in where else '?'}{query}"

    async def redeem(
        self, plan: OidcPlan, attempt: Attempt, code: str, state: str, issuer: str | None
    ) -> str:
        """Exchange a code for an id_token.

        Args:
            plan: The provider.
            attempt: What the browser began with.
            code: What the provider gave it.
            state: What came with the code.
            issuer: Who says to have given it; None: the provider does not tell.

        Raises:
            UnauthenticatedError: it answers another attempt, or the provider does not take the code.
            UnavailableError: the provider does not answer, or our secret for it is not there.
        """
        if not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise _refused("the answer belongs to another login; begin again")
        if issuer is not None and issuer != plan.issuer:
            raise _refused("the answer is of another provider")
        where = await self._descriptions.endpoint(plan.issuer, "token_endpoint")
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": attempt.redirect,
            "code_verifier": attempt.verifier,
        }  # fmt: skip
        auth = None
        if not plan.client_secret:
            form["client_id"] = plan.client_id
        elif await self._wants_post(plan):
            form |= {"client_id": plan.client_id, "client_secret": self._secret(plan)}
        else:  # RFC 6749 section 2.3.1: both are encoded as in a form first
            auth = quote(plan.client_id, safe=""), quote(self._secret(plan), safe="")
        status, answer = await ask(where, form, auth=auth)
        id_token = answer.get("id_token")
        if status != 200 or not isinstance(id_token, str):
            said = answer.get("error_description") or answer.get("error") or "it gives no id_token"
            raise _refused(f"{plan.issuer} does not take the code: {said}")
        return id_token

    async def _wants_post(self, plan: OidcPlan) -> bool:
        # Without a word of it the secret goes into the header: OpenID Connect Discovery 1.0 section 3.
        ways = (await self._descriptions.described(plan.issuer)).get("token_endpoint_auth_methods_supported")
        return isinstance(ways, list) and "client_secret_basic" not in ways and "client_secret_post" in ways

    def _secret(self, plan: OidcPlan) -> str:
        try:
            return self._reveal(plan.client_secret)
        except ValueError as error:
            raise UnavailableError(f"[lab.oidc] client_secret: {error}", kind="oidc-provider") from None


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _refused(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(why, kind="login-failed")
