"""Which pieces of a bounded cache go: those that were used longest ago."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

LOW_WATER = 0.95
"""Share of the limit that is left after a clearing: looking at every piece is not for each new one."""


class CachedPiece(NamedTuple):
    """One piece of a cache.

    Attributes:
        used: When it was used last; any clock.
        name: Its name.
        size: Bytes it takes.
    """

    used: float
    name: str
    size: int


def to_evict(pieces: Iterable[CachedPiece], limit: int) -> list[CachedPiece]:
    """Return the pieces that have to go, the longest unused first; none while all fit in ``limit`` bytes."""
    ordered = sorted(pieces)
    held = sum(piece.size for piece in ordered)
    if held <= limit:
        return []
    going = []
    for piece in ordered:
        if held <= limit * LOW_WATER:
            break
        going.append(piece)
        held -= piece.size
    return going
