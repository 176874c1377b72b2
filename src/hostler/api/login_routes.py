"""Logging in without a token: the only routes, besides the public ones, that anybody may ask."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, Field

from hostler.api import session
from hostler.api.access_documents import Request as Body
from hostler.api.documents import iso_or_none
from hostler.api.gate import TheHub, address
from hostler.api.own_hosts import OwnHosts
from hostler.hub.duration import seconds
from hostler.hub.errors import ForbiddenError, UnauthenticatedError
from hostler.hub.logins import LOGIN_SECONDS
from hostler.hub.oidc_code import ATTEMPT_SECONDS, Attempt
from hostler.hub.records import Token
from hostler.hub.tokens import MAX_SECONDS

router = APIRouter()

BROWSER = "pages in a browser"
"""What a browser's own token is called in lists."""

Seconds = Annotated[
    float,
    BeforeValidator(seconds, json_schema_input_type=float | str),
    Field(gt=0, le=MAX_SECONDS),
]
"""A length of time, as seconds or as ``90s`` ``10m`` ``2h`` ``1d``."""


class ChallengeRequest(Body):
    """The public key somebody wants to log in with."""

    key: str = Field(max_length=16384)


class ChallengeDocument(BaseModel):
    """What is to be signed within 60 seconds, with the host it is meant for: ``CHALLENGE HOST:PORT``."""

    challenge: str


class KeyLoginRequest(Body):
    """A signed challenge.

    ``host`` is ``NAME:PORT`` of the server as it was dialled. ``signature`` is an armoured SSHSIG for
    namespace ``hostler-login`` over the text ``CHALLENGE HOST``, one space between and nothing after.
    ``name`` is what the token is called.
    """

    key: str = Field(max_length=16384)
    challenge: str = Field(max_length=1024)
    host: str = Field(max_length=300)
    signature: str = Field(max_length=65536)
    name: str = Field(default="", max_length=100)
    ttl: Seconds = LOGIN_SECONDS


class TokenLoginRequest(Body):
    """A token somebody was given, and what the one they get for it is called."""

    token: str = Field(max_length=1024)
    name: str = Field(default="", max_length=100)
    ttl: Seconds = LOGIN_SECONDS


class OidcLoginRequest(Body):
    """What a provider says of somebody; ``nonce``: what it was asked with, if it was."""

    id_token: str = Field(max_length=65536)
    nonce: str | None = Field(default=None, max_length=1024)
    name: str = Field(default="", max_length=100)
    ttl: Seconds = LOGIN_SECONDS


class ProviderDocument(BaseModel):
    """The OpenID Connect provider of the lab, and what the lab is called there."""

    issuer: str
    client_id: str


class SessionRequest(Body):
    """A token somebody was given, for a browser to be logged in with."""

    token: str = Field(max_length=1024)


class SessionDocument(BaseModel):
    """Who a browser is logged in as, and when that ends; the token itself is in a cookie no script reads."""

    principal: str
    expires: str | None


class WaysDocument(BaseModel):
    """How a browser may be logged in besides by a token; ``oidc`` is null in a lab without a provider."""

    oidc: ProviderDocument | None


class AttemptDocument(BaseModel):
    """Where a browser goes to be vouched for; it comes back to the page ``/login``."""

    location: str


class CodeRequest(Body):
    """What the provider sent a browser back with: its ``code``, our ``state``, and who it is (RFC 9207)."""

    code: str = Field(max_length=8192)
    state: str = Field(max_length=1024)
    iss: str | None = Field(default=None, max_length=2048)


class LoginDocument(BaseModel):
    """A token to ask with, whose it is, and when it ends; None: never."""

    token: str
    principal: str
    expires: str | None


def login_document(token: Token, text: str) -> LoginDocument:
    """Return what somebody gets who logged in."""
    return LoginDocument(token=text, principal=token.principal, expires=iso_or_none(token.expires))


@router.post("/login/ssh-challenge")
async def ssh_challenge(hub: TheHub, body: ChallengeRequest) -> ChallengeDocument:
    """Return a challenge to sign; it is given for every key, registered or not."""
    return ChallengeDocument(challenge=hub.logins.challenge(body.key))


@router.post("/login/ssh")
async def login_by_key(hub: TheHub, request: Request, body: KeyLoginRequest) -> LoginDocument:
    """Exchange a signed challenge for a token, if it was signed for this server and no other."""
    own: OwnHosts = request.app.state.own_hosts
    own.check(body.host, request.scope)
    token, text = await hub.logins.by_key(
        address(request.scope), body.key, body.challenge, body.host, body.signature, body.name, body.ttl
    )
    return login_document(token, text)


@router.post("/login/token")
async def login_by_token(hub: TheHub, request: Request, body: TokenLoginRequest) -> LoginDocument:
    """Exchange a token that is good for one use for one that lasts; any other is handed back as it is."""
    token, text = await hub.logins.by_token(address(request.scope), body.token, body.name, body.ttl)
    return login_document(token, text)


@router.post("/login/session")
async def login_browser(
    hub: TheHub, request: Request, response: Response, body: SessionRequest
) -> SessionDocument:
    """Log a browser in: the answer sets a cookie with a token of its own, good for a week at most."""
    if "origin" in request.headers and not session.from_own_page(request.scope):
        raise ForbiddenError("a page of another server cannot log you in here", kind="foreign-page")
    token, text = await hub.logins.by_browser(address(request.scope), body.token, BROWSER, session.SECONDS)
    session.begin(response, request.scope, text)
    return SessionDocument(principal=token.principal, expires=iso_or_none(token.expires))


@router.get("/login/ways")
async def get_ways(hub: TheHub) -> WaysDocument:
    """Return how a browser may be logged in."""
    plan = hub.state.inventory.oidc
    return WaysDocument(oidc=ProviderDocument(issuer=plan.issuer, client_id=plan.client_id) if plan else None)


@router.post("/login/oidc/begin")
async def begin_oidc(hub: TheHub, request: Request, response: Response) -> AttemptDocument:
    """Send a browser to the lab's provider; what it must come back with is in a cookie no script reads."""
    attempt, location = await hub.logins.oidc.begin(_own_page(request))
    session.keep_attempt(response, request.scope, attempt.secret, ATTEMPT_SECONDS)
    return AttemptDocument(location=location)


@router.post("/login/oidc/finish")
async def finish_oidc(
    hub: TheHub, request: Request, response: Response, body: CodeRequest
) -> SessionDocument:
    """Log a browser in that comes back from the provider; the answer sets the session cookie."""
    redirect = _own_page(request)
    secret = session.attempt(request.scope)
    if not secret:
        raise UnauthenticatedError(
            "this browser has begun no login, or took too long; begin again", kind="login-failed"
        )
    token, text = await hub.logins.oidc.finish(
        address(request.scope), Attempt(secret, redirect), body.code, body.state, body.iss, BROWSER,
        session.SECONDS,
    )  # fmt: skip
    session.keep_attempt(response, request.scope, "", 0)
    session.begin(response, request.scope, text)
    return SessionDocument(principal=token.principal, expires=iso_or_none(token.expires))


def _own_page(request: Request) -> str:
    """Return the address of our page for logging in, as the browser that asks has dialled it."""
    origin = session.own_origin(request.scope)
    if origin is None:
        raise ForbiddenError("only a page of this server logs a browser in here", kind="foreign-page")
    return f"{origin}/login"


@router.get("/login/oidc")
async def get_provider(hub: TheHub) -> ProviderDocument:
    """Return who vouches for people besides the lab."""
    plan = hub.logins.oidc.plan
    return ProviderDocument(issuer=plan.issuer, client_id=plan.client_id)


@router.post("/login/oidc")
async def login_by_oidc(hub: TheHub, request: Request, body: OidcLoginRequest) -> LoginDocument:
    """Exchange an id_token of the lab's OpenID Connect provider for a token; each is good for one login."""
    token, text = await hub.logins.oidc.log_in(
        address(request.scope), body.id_token, body.nonce, body.name, body.ttl
    )
    return login_document(token, text)
