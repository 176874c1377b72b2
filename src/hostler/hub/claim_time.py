"""What time does to claims: they begin, their end is announced, they end, or have lost their client."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub.claim_queue import settle
from hostler.hub.claims import end
from hostler.hub.pools import pools_of
from hostler.model.claim import Claim, ClaimState, Origin

if TYPE_CHECKING:
    from hostler.hub.clock_jump import Jump
    from hostler.hub.state import Draft

WARNING_PART = 0.1
WARNING_SECONDS = (60.0, 600.0)
"""A claim's end is announced a tenth of its time before, but at least a minute and at most ten."""


def warning_at(claim: Claim) -> float | None:
    """Return when a claim's end is to be announced; None: it was, nobody would read it, or it is short."""
    if claim.state is not ClaimState.ACTIVE or claim.expires is None or claim.warned:
        return None
    if claim.origin is Origin.CHECK:
        return None
    shortest, longest = WARNING_SECONDS
    lead = min(longest, max(shortest, WARNING_PART * claim.ttl))
    return claim.expires - lead if lead < claim.ttl else None


def due_at(claim: Claim) -> float | None:
    """Return when a claim is to be looked at next; None: not because of the time."""
    if claim.state not in (ClaimState.PENDING, ClaimState.ACTIVE):
        return None
    moments = [warning_at(claim), _gone_at(claim)]
    moments.append(claim.expires if claim.state is ClaimState.ACTIVE else claim.start)
    return min((moment for moment in moments if moment is not None), default=None)


def _gone_at(claim: Claim) -> float | None:
    return claim.alive + claim.keep_alive if claim.keep_alive and claim.alive is not None else None


def attend(draft: Draft, claim: Claim) -> None:
    """Do what is due for a claim at the draft's time."""
    now = draft.now
    gone, warning = _gone_at(claim), warning_at(claim)
    if claim.state is ClaimState.ACTIVE and claim.expires is not None and claim.expires <= now:
        end(draft, claim, "expired")
    elif gone is not None and gone <= now and claim.state in (ClaimState.PENDING, ClaimState.ACTIVE):
        end(draft, claim, "client gone")
    elif warning is not None and warning <= now:
        _announce(draft, claim)
    elif claim.state is ClaimState.PENDING and claim.start is not None and claim.start <= now:
        draft.stirred |= pools_of(claim, draft.inventory)
        settle(draft)
        if draft.claims[claim.id].state is ClaimState.PENDING:
            text = f"the boards that claim {claim.id} of {claim.principal} has booked are not free yet"
            draft.event("claim.late", text, claim=claim.id, principal=claim.principal)


def _announce(draft: Draft, claim: Claim) -> None:
    draft.claims.put(claim.id, replace(claim, warned=True))
    left = (claim.expires or draft.now) - draft.now
    named = claim.name or claim.id
    text = f"claim {named} of {claim.principal} ends in {left / 60:.0f} min; hostler extend {named}"
    for board in claim.boards:
        draft.event(
            "claim.ending", text, board=board, claim=claim.id, principal=claim.principal,
            data={"seconds": round(left), "expires": claim.expires},
        )  # fmt: skip


def greet(draft: Draft) -> None:
    """After a restart: give every client that could not reach the hub time to speak again."""
    for claim in list(draft.claims.values()):
        if claim.keep_alive is not None and claim.state in (ClaimState.PENDING, ClaimState.ACTIVE):
            draft.claims.put(claim.id, replace(claim, alive=draft.now))


def follow_clock(draft: Draft, jump: Jump) -> None:
    """Keep what is left of every claim as it was when the clock is set.

    A claim granted later than the clock then showed was granted by a right clock, before a restart with a
    wrong one: its end is right as it is. A booking is for a time of day and stays there.
    """
    for claim in list(draft.claims.values()):
        moved = claim
        if claim.granted is not None and claim.expires is not None and claim.granted <= jump.before:
            moved = replace(moved, granted=claim.granted + jump.seconds, expires=claim.expires + jump.seconds)
        if claim.alive is not None and claim.alive <= jump.before:
            moved = replace(moved, alive=claim.alive + jump.seconds)
        if moved is not claim:
            draft.claims.put(claim.id, moved)
    text = f"the host's clock was set by {jump.seconds:+.0f} s; claims last as long as they would have"
    draft.event("clock.set", text, data={"seconds": jump.seconds})
