"""The right to fetch chunks from another board.

Whoever serves chunks makes a key and tells it to its rack alone. The rack gives a board that may have them
a ticket: the key's HMAC (RFC 2104, SHA-256) over that board's address. So nobody else can use it from
another address, and no board learns another's key.
"""

from __future__ import annotations

import hashlib
import hmac
import re

_KEY = re.compile(r"[0-9a-f]{64}\Z")


class TicketError(ValueError):
    """It is not a key."""


def checked_key(key: object) -> str:
    """Return it if it is a key, 32 bytes in hex; raises TicketError."""
    if not isinstance(key, str) or not _KEY.match(key):
        raise TicketError("a key is 64 hex digits")
    return key


def ticket(key: str, address: str) -> str:
    """Return the ticket for a board that asks from an address."""
    return hmac.new(bytes.fromhex(key), address.encode(), hashlib.sha256).hexdigest()


def holds(shown: str, key: str, address: str) -> bool:
    """Tell whether what was shown is the ticket for an address."""
    return hmac.compare_digest(shown.encode(), ticket(key, address).encode())
