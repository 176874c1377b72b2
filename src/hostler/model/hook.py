"""Hooks: who is told of events, how what is told is signed, and how long it is tried."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

GIVE_UP_SECONDS = 86400.0
"""How old an event may get before it is no longer told: who was away for a day has read the history since."""

_SLOWEST = 600.0
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class HookPlan:
    """A hook as ``lab.toml`` describes it; either ``url`` or ``command``.

    Attributes:
        name: Unique in the file.
        url: Where events are posted, or empty.
        command: Program and arguments that get each event on standard input, or none.
        kinds: Patterns of event kinds; none: all but what is seen on the wire during boots.
        secret: Reference to the key that signs what is posted, or empty.
    """

    name: str
    url: str = ""
    command: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    secret: str = ""


def pause(attempt: int) -> float:
    """Return the seconds to wait after so many attempts have failed: 0.5 s, doubling, ten minutes at most."""
    return min(0.5 * 2.0 ** min(attempt - 1, 20), _SLOWEST)


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the ``webhook-signature`` header (Standard Webhooks 1.0.0, "Signature scheme").

    Args:
        secret: The key: any text, or ``whsec_`` and base64 as the standard's libraries take it.
        message_id: The value of the ``webhook-id`` header.
        timestamp: The value of the ``webhook-timestamp`` header, Unix time.
        body: What is posted.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass  # then it is a text that only begins like one
    return secret.encode()
