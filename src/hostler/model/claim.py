"""Claims: who holds which boards until when. Who is next is told in ``schedule``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


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

    def __str__(self) -> str:
        """Return it in words: ``board "pi-3"``, ``a board of class "pi" with ram>=4096``."""
        if self.board is not None:
            return f'board "{self.board}"'
        of_class = f' of class "{self.board_class}"' if self.board_class is not None else ""
        return f"a board{of_class}" + (f" with {', '.join(self.labels)}" if self.labels else "")


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
        unclean: Why boards it gave back did not come back clean, by board.
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
    unclean: dict[str, str] = field(default_factory=dict)

    @property
    def board(self) -> str | None:
        """The first board it holds."""
        return self.boards[0] if self.boards else None

    @property
    def board_class(self) -> str | None:
        """The class of the first board it asks for."""
        return self.wants[0].board_class
