"""How much those may ask for who have not said yet who they are, and how much those who have."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGIN_SECONDS = 30.0
"""Time to log in; a person answers an agent's question in ten. (OpenSSH's LoginGraceTime is 120.)"""
LOGIN_BYTES = 256 * 1024
"""What a client may send until it is logged in; twenty keys offered are 30 kB."""
LOGIN_KEYS = 20
"""Keys a client may offer; agents rarely hold more, and OpenSSH's own server takes six."""
STRANGERS = 64
"""Connections at once of which nobody knows whose they are."""
STRANGERS_EACH = 24
"""Of these from one address; a proxy in front or a whole office may share one."""
SESSIONS = 16
"""Sessions at once on one connection."""
JUMPS = 256
"""Connections to boards at once in all; each is a few kilobytes and a socket."""
JUMPS_EACH = 64
"""Connections to boards at once of one principal; a browser opens six to a host."""
VERBS = 16
"""Commands at once in all: each is a process of some 40 MB."""
VERBS_EACH = 8
"""Commands at once of one principal."""


class BusyError(Exception):
    """Too much at once; the text says of what. Try again in a moment."""


class Share:
    """So many at once in all, and so many each.

    Args:
        what: What is counted, for people.
        total: Most at once.
        each: Most at once of one.
    """

    def __init__(self, what: str, total: int, each: int) -> None:
        self._what = what
        self._total = total
        self._each = each
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """How many there are."""
        return self._held.total()

    def take(self, who: str) -> None:
        """Count one more.

        Raises:
            BusyError: there are too many.
        """
        if self.held >= self._total or self._held[who] >= self._each:
            raise BusyError(f"too many {self._what} at once; try again in a moment")
        self._held[who] += 1

    def give(self, who: str) -> None:
        """Count one less."""
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]

    @contextmanager
    def one(self, who: str) -> Iterator[None]:
        """Count one for the length of the block; raises BusyError."""
        self.take(who)
        try:
            yield
        finally:
            self.give(who)
