"""From where a change was asked for: kept with every event that somebody caused."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Source:
    """Where a request came from.

    Attributes:
        principal: Whose request it is.
        via: By which door: ``api`` or ``ssh``.
        address: Network address of the other end, or empty.
        token: Id of the token that was shown, or fingerprint of the ssh key.
    """

    principal: str
    via: str
    address: str = ""
    token: str = ""

    def document(self) -> dict[str, str]:
        """Return what an event keeps of it."""
        return {"via": self.via, "address": self.address, "token": self.token}


# Of the request being served: it follows the task, so that no decision on the way needs to hand it on.
_CURRENT: ContextVar[Source | None] = ContextVar("hostler_source", default=None)


def current() -> Source | None:
    """Return where the request being served came from; None: the hub acts by itself."""
    return _CURRENT.get()


@contextmanager
def coming_from(source: Source) -> Iterator[None]:
    """Let everything that is decided inside the block have come from there."""
    before = _CURRENT.set(source)
    try:
        yield
    finally:
        _CURRENT.reset(before)
