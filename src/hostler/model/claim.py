"""Claims and their queue: who holds which board until when, and who is next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hostler.model.board import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ClaimState(StrEnum):
    """pending → active → releasing → closed; a pending claim may close at once."""

    PENDING = "pending"
    ACTIVE = "active"
    RELEASING = "releasing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Claim:
    """A principal's hold on a board of a class, now or as soon as one is free.

    Attributes:
        id: Unique for ever.
        principal: Who asked.
        board_class: What was asked for.
        name: The principal's own name for it, or empty.
        ttl: Seconds it lasts once active.
        image: Image to deploy as soon as it is active, or None.
        power: Whether the board is to be powered on as soon as it is active.
        state: Where it is in its life.
        board: The board it holds, once active.
        created: Unix time it was made; the queue's order.
        granted: Unix time it became active, or None.
        expires: Unix time it ends by itself, or None while pending.
        closed: Unix time it closed, or None.
        reason: Why it closed: ``released`` ``expired`` ``cancelled`` ``wipe failed: …``.
    """

    id: str
    principal: str
    board_class: str
    name: str
    ttl: float
    image: str | None
    power: bool
    state: ClaimState
    created: float
    board: str | None = None
    granted: float | None = None
    expires: float | None = None
    closed: float | None = None
    reason: str = ""


def queue(claims: Iterable[Claim], board_class: str) -> list[Claim]:
    """Return the claims that wait for a class, first come first."""
    waiting = (c for c in claims if c.state is ClaimState.PENDING and c.board_class == board_class)
    return sorted(waiting, key=lambda claim: (claim.created, claim.id))


def grants(claims: Iterable[Claim], boards: Mapping[str, tuple[str, Lifecycle]]) -> list[tuple[Claim, str]]:
    """Pair waiting claims with free boards: first come first served within a class.

    Args:
        claims: All claims.
        boards: Board name to its class and lifecycle.

    Returns:
        Claim and board name; no board twice, no claim twice, nobody overtaken.
    """
    pending = list(claims)
    pairs: list[tuple[Claim, str]] = []
    for board_class in sorted({c.board_class for c in pending if c.state is ClaimState.PENDING}):
        free = sorted(
            name for name, (cls, life) in boards.items() if cls == board_class and life is Lifecycle.AVAILABLE
        )
        pairs += zip(queue(pending, board_class), free, strict=False)
    return pairs
