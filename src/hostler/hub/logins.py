"""Letting people in, and telling long connections when somebody is shut out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from hostler.hub import access, ssh_keys, tokens
from hostler.hub.errors import UnauthenticatedError, UnavailableError
from hostler.hub.login_limits import Challenges, FailureLimit
from hostler.hub.oidc_login import OidcLogin
from hostler.hub.source import Source, coming_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.hub.hub import Hub
    from hostler.hub.records import Principal, Token
    from hostler.hub.state import Draft

log = logging.getLogger(__name__)

LOGIN_SECONDS = 30 * 86400.0
"""How long a token lasts that somebody got by logging in, unless they ask for less or more."""
_LOOK_SECONDS = 60.0
_HOUSE_SECONDS = 60.0


class Logins:
    """Who comes in, by token or by key.

    Args:
        hub: Whose door this is.
        clock: Tells Unix time.
        reveal: Returns the secret a reference stands for; raises ValueError.

    Attributes:
        oidc: Lets in whom a provider vouches for.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float], reveal: Callable[[str], str]) -> None:
        self._hub = hub
        self._clock = clock
        self._challenges = Challenges()
        self._limit = FailureLimit()
        self._uses: dict[str, float] = {}
        self.oidc = OidcLogin(hub, self._limit, clock, reveal)

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return who sent this ``Authorization`` header, as far as its token lets them act.

        Raises:
            UnauthenticatedError: the token is missing, unknown, or no longer good.
        """
        now = self._clock()
        token, owner = tokens.shown(self._hub.state, authorization, now)
        principal = tokens.bearer(owner, token)
        if token.once:
            await self._hub.change(lambda draft: tokens.spend(draft, token.hash))
        elif token.used is None or now - token.used >= tokens.NOTE_SECONDS:
            self._uses[token.hash] = now
        return principal

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            await asyncio.sleep(_HOUSE_SECONDS)
            try:
                await self.keep_house()
            except UnavailableError as error:
                log.warning("when tokens were used is not written down: %s; trying again", error)

    async def keep_house(self) -> None:
        """Write down which tokens were used, and forget those that ended long ago."""
        uses, self._uses = self._uses, {}

        def keep(draft: Draft) -> None:
            tokens.note_uses(draft, uses)
            tokens.forget_ended(draft)

        await self._hub.change(keep)

    def standing(self, principal: Principal) -> str:
        """Say why a principal may go on no longer with what it began; empty: it may."""
        state = self._hub.state
        kept = state.principals.get(principal.name)
        if kept is None:
            return f"{principal.name} was removed"
        if kept.disabled:
            return f"{principal.name} was shut out"
        token = tokens.find(state.tokens.values(), principal.token) if principal.token else None
        if principal.token and (token is None or token.why == "revoked"):
            return "the token was revoked"
        if token is not None and not token.once and not tokens.alive(token, self._clock()):
            return "the token has expired"
        if not _may_still(kept, token, principal):
            return f"{principal.name} may do less than before"
        return ""

    async def dismissed(self, principal: Principal) -> str:
        """Wait until a principal may not go on with what it began, and say why."""
        bell = f"principal/{principal.name}"
        while True:
            version = self._hub.bells.version(bell)
            if why := self.standing(principal):
                return why
            # An expiry rings no bell.
            await self._hub.bells.wait(bell, version, _LOOK_SECONDS)

    def challenge(self, key: str) -> str:
        """Return a text to sign for whoever holds a public key, whether it is registered or not.

        Raises:
            InvalidError: it is no public key.
        """
        fingerprint, _, _ = ssh_keys.parse(key)
        return self._challenges.give(fingerprint, self._clock())

    async def by_key(
        self,
        address: str,
        key: str,
        challenge: str,
        host: str,
        signature: str,
        name: str,
        seconds: float = LOGIN_SECONDS,
    ) -> tuple[Token, str]:
        """Let whoever signed a challenge in; returns a token and its text.

        Args:
            address: Where they come from.
            key: Their public key.
            challenge: As it was given.
            host: The server they believe to talk to, found to be this one.
            signature: Armoured SSHSIG over the challenge as it was given, a space, and the host.
            name: What the token is to be called.
            seconds: How long it is to last.

        Raises:
            UnauthenticatedError: the signature is not of that key, or the key logs nobody in; which it is,
                is not told.
            TooManyError: too many logins from there have failed.
            InvalidError: it is no public key.
        """
        now = self._clock()
        self._limit.check(address, now)
        fingerprint, plain, _ = ssh_keys.parse(key)
        proven = ssh_keys.signed(plain, f"{challenge} {host}".encode(), signature)
        proven = proven and self._challenges.take(challenge, fingerprint, now)
        principal = ssh_keys.principal_of(self._hub.state, fingerprint)
        if not proven or principal is None:
            self._limit.failed(address, now)
            raise UnauthenticatedError(
                "this key logs nobody in here; register it with `hostler key add`, or ask an admin to",
                kind="login-failed",
            )
        return await self._welcome(
            Source(principal.name, "ssh key", address, fingerprint), principal, name, seconds
        )

    async def by_token(self, address: str, shown: str, name: str, seconds: float) -> tuple[Token, str]:
        """Let somebody in who was given a token: one good for one use is exchanged for one that lasts.

        Args:
            address: Where they come from.
            shown: The token. One that is good for more is returned as it is.
            name: What the new token is to be called.
            seconds: How long it is to last.

        Raises:
            UnauthenticatedError: the token is unknown or no longer good.
            TooManyError: too many logins from there have failed.
        """
        now = self._clock()
        self._limit.check(address, now)
        try:
            token, owner = tokens.shown(self._hub.state, f"Bearer {shown}", now)
            principal = tokens.bearer(owner, token)
        except UnauthenticatedError:
            self._limit.failed(address, now)
            raise
        if not token.once:
            return token, shown

        def exchange(draft: Draft) -> tuple[Token, str]:
            tokens.spend(draft, token.hash)
            return tokens.mint(draft, principal, name=name, expires=draft.now + seconds)

        with coming_from(Source(owner.name, "api", address, token.id)):
            return await self._hub.change(exchange)

    async def by_browser(self, address: str, shown: str, name: str, seconds: float) -> tuple[Token, str]:
        """Let a browser in with a token: it gets one of its own, no wider, so that logging out ends no other.

        Args:
            address: Where it comes from.
            shown: The token.
            name: What the new token is to be called.
            seconds: How long it is to last at most; it ends no later than the one that was shown.

        Raises:
            UnauthenticatedError: the token is unknown or no longer good.
            TooManyError: too many logins from there have failed.
        """
        token, text = await self.by_token(address, shown, name, seconds)
        if text != shown:
            return token, text  # it was good for one use, and this is what it was exchanged for
        owner = tokens.bearer(self._hub.state.principals[token.principal], token)
        with coming_from(Source(owner.name, "api", address, token.id)):
            return await self._hub.change(
                lambda draft: tokens.mint(
                    draft, owner, name=name, by=owner,
                    expires=min(draft.now + seconds, token.expires or float("inf")),
                )
            )  # fmt: skip

    async def _welcome(
        self, source: Source, principal: Principal, name: str, seconds: float
    ) -> tuple[Token, str]:
        with coming_from(source):
            return await self._hub.change(
                lambda draft: tokens.mint(draft, principal, name=name, expires=draft.now + seconds)
            )


def _may_still(kept: Principal, token: Token | None, began: Principal) -> bool:
    """Tell whether a principal has all the rights it had when it began."""
    try:
        now = tokens.bearer(kept, token) if token is not None else kept
    except UnauthenticatedError:
        return False
    if access.weaker(now.role, began.role) is not began.role:
        return False
    mine = access.projects(now)
    return all(
        name in mine and access.weaker(mine[name], role) is role
        for name, role in access.projects(began).items()
    )
