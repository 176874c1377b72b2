"""Letting in whom an OpenID Connect provider vouches for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.hub import principals, tokens
from hostler.hub.errors import ConflictError, InvalidError, NotFoundError, UnauthenticatedError
from hostler.hub.oidc import LEEWAY_SECONDS, OidcVerifier
from hostler.hub.oidc_code import Attempt, CodeFlow
from hostler.hub.oidc_provider import Descriptions
from hostler.hub.records import HUB, Role
from hostler.hub.source import Source, coming_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostler.hub.hub import Hub
    from hostler.hub.inventory import OidcPlan
    from hostler.hub.login_limits import FailureLimit
    from hostler.hub.records import Principal, Token
    from hostler.hub.state import Draft


class OidcLogin:
    """Exchanges a provider's id_token for a token of the lab.

    Args:
        hub: Who is let in where.
        limit: Counts failures, for all ways to log in together.
        clock: Tells Unix time.
        reveal: Returns the secret a reference stands for; raises ValueError.
    """

    def __init__(
        self, hub: Hub, limit: FailureLimit, clock: Callable[[], float], reveal: Callable[[str], str]
    ) -> None:
        self._hub = hub
        self._limit = limit
        self._clock = clock
        descriptions = Descriptions(clock)
        self._verifier = OidcVerifier(clock, descriptions)
        self._codes = CodeFlow(descriptions, reveal)
        self._used: dict[str, float] = {}

    @property
    def plan(self) -> OidcPlan:
        """The provider in ``lab.toml``; raises NotFoundError when there is none."""
        plan = self._hub.state.inventory.oidc
        if plan is None:
            raise NotFoundError("this lab has no [lab.oidc] in its lab.toml", kind="no-oidc")
        return plan

    async def log_in(
        self, address: str, id_token: str, nonce: str | None, name: str, seconds: float
    ) -> tuple[Token, str]:
        """Let somebody in; returns a token and its text.

        Args:
            address: Where they come from.
            id_token: The provider's; each is good for one login.
            nonce: What it must answer; None: nothing was asked.
            name: What the token is to be called.
            seconds: How long it is to last.

        Raises:
            NotFoundError: the lab has no provider.
            UnauthenticatedError: the token is not good, or nobody here is linked with whom it names.
            TooManyError: too many logins from there have failed.
            UnavailableError: the provider does not answer.
            ConflictError: a principal would be made, but its name is taken.
        """
        plan, now = self.plan, self._clock()
        self._limit.check(address, now)
        try:
            claims = await self._verifier.verify(plan, id_token, nonce)
            self._use_up(id_token, claims, now)
            return await self._hub.change(lambda draft: _admit(draft, plan, claims, address, name, seconds))
        except UnauthenticatedError:
            self._limit.failed(address, now)
            raise

    async def begin(self, redirect: str) -> tuple[Attempt, str]:
        """Begin the login of a browser that is to come back to an address; returns also where it goes now.

        Raises:
            NotFoundError: the lab has no provider.
            UnavailableError: the provider does not answer.
        """
        attempt = Attempt.begun(redirect)
        return attempt, await self._codes.address(self.plan, attempt)

    async def finish(
        self, address: str, attempt: Attempt, code: str, state: str, issuer: str | None, name: str,
        seconds: float,
    ) -> tuple[Token, str]:  # fmt: skip
        """Let in who comes back from the provider with a code; otherwise as ``log_in``."""
        plan, now = self.plan, self._clock()
        self._limit.check(address, now)
        try:
            id_token = await self._codes.redeem(plan, attempt, code, state, issuer)
        except UnauthenticatedError:
            self._limit.failed(address, now)
            raise
        return await self.log_in(address, id_token, attempt.nonce, name, seconds)

    def _use_up(self, id_token: str, claims: Mapping[str, Any], now: float) -> None:
        self._used = {key: end for key, end in self._used.items() if end > now}
        key = hashlib.sha256(id_token.encode()).hexdigest()
        if key in self._used:
            raise UnauthenticatedError("this token of the provider was used already", kind="login-failed")
        self._used[key] = float(claims["exp"]) + LEEWAY_SECONDS


def _admit(
    draft: Draft, plan: OidcPlan, claims: Mapping[str, Any], address: str, name: str, seconds: float
) -> tuple[Token, str]:
    subject = plan.subject(str(claims["sub"]))
    principal = next((one for one in draft.principals.values() if one.subject == subject), None)
    if principal is None:
        principal = _made(draft, plan, claims, subject)
    if principal.disabled:
        raise UnauthenticatedError(f"{principal.name} is disabled; ask an admin", kind="disabled")
    principal = _joined(draft, plan, claims, principal)
    with coming_from(Source(principal.name, "oidc", address)):
        draft.came_from()
        return tokens.mint(draft, principal, name=name, expires=draft.now + seconds)


def _made(draft: Draft, plan: OidcPlan, claims: Mapping[str, Any], subject: str) -> Principal:
    if not plan.auto_create:
        raise UnauthenticatedError(
            f"nobody here is linked with subject {claims['sub']} of {plan.issuer}; an admin does it with: "
            f"hostler principal link USER {claims['sub']}",
            kind="not-linked",
        )
    name = claims.get(plan.name_claim)
    if not isinstance(name, str):
        raise UnauthenticatedError(f'the provider does not tell "{plan.name_claim}"', kind="login-failed")
    try:
        return principals.let_in(draft, HUB, name, plan.role, subject=subject)
    except ConflictError:
        raise ConflictError(
            f'there is a principal "{name}" that is not linked with you; an admin does it with: '
            f"hostler principal link {name} {claims['sub']}",
            kind="not-linked",
        ) from None
    except InvalidError as error:
        raise UnauthenticatedError(f"the provider's name for you cannot be used: {error}") from None


def _joined(draft: Draft, plan: OidcPlan, claims: Mapping[str, Any], principal: Principal) -> Principal:
    """Put somebody into the projects the provider names; nobody is taken out of one this way."""
    named = claims.get(plan.project_claim) if plan.project_claim else None
    wanted = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    new = [name for name in wanted if name in draft.projects and name not in principal.projects]
    if new:
        principal = replace(principal, projects={**principal.projects, **dict.fromkeys(new, Role.MEMBER)})
        draft.principals.put(principal.name, principal)
        for name in new:
            draft.event(
                "project.member", f'{principal.name} came into project "{name}" by {plan.issuer}',
                principal=HUB.name, data={"project": name, "member": principal.name, "role": Role.MEMBER},
            )  # fmt: skip
    return principal
