"""Logging in and out of a server: a token for a signature, and the token's end."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, TypedDict, cast
from urllib.parse import urlsplit

from hostler.client.errors import ClientError, NotFoundError, RefusedError, UnauthorizedError
from hostler.client.settings import Settings
from hostler.client.transport import Transport

if TYPE_CHECKING:
    from hostler.client.ssh_key import SshKey

_CHALLENGE_BYTES = (16, 4096)
"""Least and most: a shorter one could be guessed, a longer one is no challenge."""


class Membership(TypedDict):
    """A project and what somebody is in it."""

    name: str
    role: str


class TokenInUse(TypedDict, total=False):
    """The token that was asked with; ``expires`` in ISO 8601, None: never."""

    name: str
    project: str | None
    expires: str | None


class Me(TypedDict):
    """Who a token belongs to, as far as it lets them act; ``server`` is the server's version."""

    name: str
    role: str
    projects: list[Membership]
    login: TokenInUse | None
    server: str


class Granted(TypedDict):
    """A token to ask with, whose it is, and when it ends (ISO 8601, None: never)."""

    token: str
    principal: str
    expires: str | None


def ask_who(settings: Settings) -> Me:
    """Return who the token of these settings belongs to; raises like ``Transport.call``."""
    transport = Transport(settings)
    try:
        me = cast("Me", transport.call("GET", "me"))
        me["server"] = transport.call("GET", "/healthz")["version"]
        return me
    finally:
        transport.close()


def login_by_token(url: str, ca: str | None, token: str, name: str) -> Granted:
    """Log in with a token: one that is good for one use becomes one that lasts, any other stays as it is.

    Args:
        url: The server.
        ca: Who vouches for it (PEM), or None.
        token: The token.
        name: What a new token is called in lists.

    Raises:
        ClientError: the token is not good.
        UnreachableError: the server does not answer.
    """
    transport = Transport(Settings(url, "", ca))
    try:
        return cast("Granted", transport.call("POST", "login/token", body={"token": token, "name": name}))
    except UnauthorizedError as error:
        raise ClientError(f"{url} does not take this token: {error}", "ask an admin for another") from None
    finally:
        transport.close()


def login_by_key(url: str, ca: str | None, key: SshKey, name: str) -> Granted:
    """Have a token made for the holder of an ssh key.

    Args:
        url: The server.
        ca: Who vouches for it (PEM), or None.
        key: The key that the server knows.
        name: What the token is called in the lists, for example this machine's name.

    Raises:
        ClientError: the server knows no such login or not this key, is another one than was dialled, or its
            answer cannot be understood.
        SettingsError: the key cannot sign.
        UnreachableError: it does not answer.
    """
    transport = Transport(Settings(url, "", ca))
    try:
        try:
            asked = transport.call("POST", "login/ssh-challenge", body={"key": key.public})
        except RefusedError as error:
            if error.status in (401, 404, 405):
                raise ClientError(
                    f"{url} lets nobody in by ssh key: {error}", "log in with a token: --token -"
                ) from None
            raise
        challenge = _challenge(asked)
        host = dialled(url)
        answer = {
            "key": key.public,
            "challenge": challenge,
            "host": host,
            # With the host: whoever passes the challenge of another server on gets nothing that counts there.
            "signature": key.sign(f"{challenge} {host}".encode()),
            "name": name,
        }
        try:
            return cast("Granted", transport.call("POST", "login/ssh", body=answer))
        except UnauthorizedError as error:
            if error.problem.get("type", "").endswith("wrong-host"):
                raise ClientError(f"{url} does not log in for another host: {error}") from None
            raise ClientError(
                f"{url} does not let this key in: {error}", f"ask an admin to let it in: {key.public}"
            ) from None
    finally:
        transport.close()


def dialled(url: str) -> str:
    """Return the host of an address as it is signed: ``name:port`` in ASCII, an IPv6 address in brackets."""
    parts = urlsplit(url)
    name = (parts.hostname or "").partition("%")[0].rstrip(".")
    try:
        name = name if ":" in name else name.encode("idna").decode("ascii")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # no name, no number
        raise ClientError(f"{url} is no address of a server") from None
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def revoke(settings: Settings) -> bool:
    """End the token of these settings at the server; False when it cannot end single tokens.

    Raises:
        UnreachableError: the server does not answer.
        RefusedError: it refuses; an unknown token is an ended one and no error.
    """
    transport = Transport(settings)
    try:
        transport.call("DELETE", "me/tokens/current")
    except NotFoundError:
        return False
    except RefusedError as error:
        if error.status == 405:
            return False
        if error.status != 401:
            raise
    finally:
        transport.close()
    return True


def _challenge(answer: object) -> str:
    """Return the challenge, base64 text; anything else a server might like to have signed is refused."""
    try:
        text = cast("dict[str, str]", answer)["challenge"]
        size = len(base64.b64decode(text, validate=True))
    except (KeyError, TypeError, ValueError):
        raise ClientError("the server's challenge cannot be read") from None
    if not _CHALLENGE_BYTES[0] <= size <= _CHALLENGE_BYTES[1]:
        raise ClientError(f"the server's challenge has {size} bytes; that is not one to sign")
    return text
