"""Challenges that prove who holds a key, and an end to guessing. Nothing here grows with who merely asks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
import struct
from collections import OrderedDict, deque

from hostler.hub.errors import Refusal

CHALLENGE_SECONDS = 60.0
"""How long somebody has to sign: a person may have to touch a security key."""
FAILURES = 10
"""Failed logins from one address within ``FAILURE_SECONDS`` after which it has to wait."""
FAILURE_SECONDS = 60.0
_ADDRESSES = 4096  # remembered at once; of more the one that failed longest ago is forgotten
_NONCE = 32
_TAG = hashlib.sha256().digest_size


class TooManyError(Refusal):
    """This address failed too often; it may try again in a minute."""

    status = 429
    title = "Too many failed logins"


class Challenges:
    """Random bytes to sign, each for one key and one use.

    What was given out is not remembered but recognised, by a code that only this process can make: whoever
    asks for a million costs no memory. What was used is, until it would be too old anyway.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._used: OrderedDict[bytes, float] = OrderedDict()

    def give(self, fingerprint: str, now: float) -> str:
        """Return a challenge, as base64, for whoever holds this key, known or not."""
        body = secrets.token_bytes(_NONCE) + struct.pack(">d", now + CHALLENGE_SECONDS)
        return base64.b64encode(body + self._tag(body, fingerprint)).decode()

    def take(self, challenge: str, fingerprint: str, now: float) -> bool:
        """Use a challenge up; False: it is not of ours, not for this key, too old, or was used."""
        try:
            raw = base64.b64decode(challenge, validate=True)
        except ValueError:
            return False
        body, tag = raw[:-_TAG], raw[-_TAG:]
        if len(body) != _NONCE + 8 or not hmac.compare_digest(tag, self._tag(body, fingerprint)):
            return False
        (end,) = struct.unpack(">d", body[_NONCE:])
        while self._used and next(iter(self._used.values())) < now:
            self._used.popitem(last=False)
        if end < now or body in self._used:
            return False
        self._used[body] = end
        return True

    def _tag(self, body: bytes, fingerprint: str) -> bytes:
        return hmac.digest(self._secret, body + fingerprint.encode(), "sha256")


class FailureLimit:
    """Counts failed logins by source address."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """Raise TooManyError when an address failed too often."""
        failures = self._failures.get(_source(address), ())
        if sum(at > now - FAILURE_SECONDS for at in failures) >= FAILURES:
            raise TooManyError(
                f"too many failed logins from your address; try again in {FAILURE_SECONDS:g} seconds",
                kind="too-many-logins",
            )

    def failed(self, address: str, now: float) -> None:
        """Note a failure."""
        key = _source(address)
        self._failures.setdefault(key, deque(maxlen=FAILURES)).append(now)
        self._failures.move_to_end(key)
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)


def _source(address: str) -> str:
    """Return what one household of addresses has in common: of IPv6 a customer gets a whole /64."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:  # what came to a socket for both; they share one /64
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
