"""From when to when boards are held, booked or expected: what a calendar of the lab shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hostler.model.claim import ClaimState
from hostler.model.schedule import booked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostler.model.claim import Claim
    from hostler.model.forecast import Place


class Certainty(StrEnum):
    """What is known of a span.

    ``held``: it has begun, and ends at that time or earlier. ``returning``: the board is being wiped, and
    when that ends nobody knows. ``booked``: it is kept for that time. ``expected``: as the queue stands now.
    """

    HELD = "held"
    RETURNING = "returning"
    BOOKED = "booked"
    EXPECTED = "expected"


@dataclass(frozen=True, slots=True)
class Span:
    """One board, from when to when.

    Attributes:
        claim: Id of the claim it is for.
        certainty: What is known of it.
        board_class: Class of the board; None: any, it was asked for by labels.
        board: Which one; None: whichever of them.
        start: Unix time.
        end: Unix time, or None: nobody knows.
    """

    claim: str
    certainty: Certainty
    board_class: str | None
    board: str | None
    start: float
    end: float | None


def spans(
    claim: Claim, place: Place | None, class_of: Callable[[str], str | None], now: float
) -> Iterator[Span]:
    """Yield a span for each board of an open claim; none for one that may wait for ever.

    Args:
        claim: The claim.
        place: Where it stands, if it waits.
        class_of: Returns the class of a board; None: there is no such board any more.
        now: Unix time.
    """
    if claim.state is ClaimState.CLOSED:
        return
    if claim.state is not ClaimState.PENDING:
        held = claim.state is ClaimState.ACTIVE
        for board in claim.boards:
            yield Span(
                claim.id, Certainty.HELD if held else Certainty.RETURNING, class_of(board), board,
                claim.granted or claim.created, claim.expires if held else None,
            )  # fmt: skip
        return
    later = booked(claim, now)
    start = claim.start if later else place.expected if place is not None else None
    if start is None:
        return
    for want in claim.wants:
        board_class = want.board_class
        if board_class is None and want.board is not None:
            board_class = class_of(want.board)
        yield Span(
            claim.id, Certainty.BOOKED if later else Certainty.EXPECTED, board_class, want.board, start,
            start + claim.ttl,
        )  # fmt: skip
