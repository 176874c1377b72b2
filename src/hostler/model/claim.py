"""Claims and their queue: who holds which board until when, and who is next."""

from __future__ import annotations

from dataclasses import dataclass, field
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


class Sharing(StrEnum):
    """What somebody else may do with a claim's boards: look on, or everything but give them back."""

    READ = "read"
    WRITE = "write"


class Origin(StrEnum):
    """Who a claim is for: people and their programs, or the lab itself, which checks a board."""

    USER = "user"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Want:
    """One board asked for: any of a class, any that carries labels, or this very one.

    Attributes:
        board_class: Its class; None: any.
        board: Its name; None: any.
        labels: Terms that must all hold, such as ``arch=arm64`` or ``ram>=4096``.
    """

    board_class: str | None = None
    board: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A principal's hold on boards, now, later, or as soon as they are free: all of them or none.

    Attributes:
        id: Unique for ever.
        principal: Who asked.
        project: On whose account.
        wants: What was asked for, one for each board.
        name: The principal's own name for it, or empty.
        ttl: Seconds it lasts once active.
        image: Image to deploy on each board as soon as it is active, or None.
        power: Whether the boards are to be powered on as soon as it is active.
        state: Where it is in its life.
        created: Unix time it was made; the queue's order.
        priority: Higher ones are served first.
        boards: The boards it holds or is giving back, in the order of ``wants``; empty while it waits.
        shares: What others may do with its boards, by principal.
        start: Unix time before which it is not to be granted; None: at once.
        keep_alive: Seconds without a sign of life after which it ends; None: it needs none.
        alive: Unix time of the last sign of life.
        warned: Whether its end was announced.
        origin: Who it is for.
        granted: Unix time it became active, or None.
        expires: Unix time it ends by itself, or None while pending.
        closed: Unix time it closed, or None.
        reason: Why it closed: ``released`` ``expired`` ``cancelled`` ``wipe failed: …``.
    """

    id: str
    principal: str
    project: str
    wants: tuple[Want, ...]
    name: str
    ttl: float
    image: str | None
    power: bool
    state: ClaimState
    created: float
    priority: int = 0
    boards: tuple[str, ...] = ()
    shares: dict[str, Sharing] = field(default_factory=dict)
    start: float | None = None
    keep_alive: float | None = None
    alive: float | None = None
    warned: bool = False
    origin: Origin = Origin.USER
    granted: float | None = None
    expires: float | None = None
    closed: float | None = None
    reason: str = ""

    @property
    def board(self) -> str | None:
        """The first board it holds."""
        return self.boards[0] if self.boards else None

    @property
    def board_class(self) -> str | None:
        """The class of the first board it asks for."""
        return self.wants[0].board_class


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
    for board_class in sorted({c.board_class or "" for c in pending if c.state is ClaimState.PENDING}):
        free = sorted(
            name for name, (cls, life) in boards.items() if cls == board_class and life is Lifecycle.AVAILABLE
        )
        pairs += zip(queue(pending, board_class), free, strict=False)
    return pairs
