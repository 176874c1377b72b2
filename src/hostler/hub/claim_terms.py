"""What may be changed about a claim while it lasts: its end, who may use it, whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import access
from hostler.hub.claim_queue import accounts, unserved_booking
from hostler.hub.claims import MAX_TTL, controlled, end, find, wanted_text
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.records import Role
from hostler.model.claim import Claim, ClaimState, Sharing

if TYPE_CHECKING:
    from hostler.hub.records import Principal
    from hostler.hub.state import Draft


def extend(draft: Draft, principal: Principal, key: str, seconds: float) -> Claim:
    """Let an active claim end later.

    Raises:
        InvalidError: the time is no time, or more than its class allows.
        ConflictError: it is not active, or a booking needs the boards by then.
    """
    claim = controlled(draft, principal, key)
    if claim.state is not ClaimState.ACTIVE or claim.expires is None or claim.granted is None:
        raise ConflictError(f"claim {claim.id} is {claim.state}; only an active claim is extended")
    if not 0 < seconds <= MAX_TTL:
        raise InvalidError(f"a claim is extended by more than 0 and at most {MAX_TTL / 86400:g} days")
    until = claim.expires + seconds
    if until - claim.granted > MAX_TTL:
        raise InvalidError(f"a claim lasts {MAX_TTL / 86400:g} days at most", kind="too-long")
    if not principal.admin:
        _within_class(draft, claim, until)
    booking = unserved_booking(draft, claim, dict.fromkeys(claim.boards, until))
    if booking is not None:
        most = (booking.start or draft.now) - draft.now
        raise ConflictError(
            f"{booking.principal} has booked {wanted_text(booking.wants)}, {most / 3600:.1f} h from now; "
            "extend by less",
            kind="booking-conflict",
        )
    claim = replace(claim, expires=until, ttl=claim.ttl + seconds, warned=False)
    draft.claims.put(claim.id, claim)
    text = f"{principal.name} extended claim {claim.id} by {seconds:g} s"
    _tell(draft, "claim.extended", text, claim, principal)
    return claim


def _within_class(draft: Draft, claim: Claim, until: float) -> None:
    for board in claim.boards:
        name = draft.boards[board].board.board_class
        most = draft.inventory.classes[name].max_ttl
        if most is not None and until - (claim.granted or until) > most:
            raise InvalidError(
                f'boards of class "{name}" are lent for {most:g} s at most, and this one would be held for '
                f"{until - (claim.granted or until):g}",
                kind="too-long",
            )


def share(draft: Draft, principal: Principal, key: str, user: str, sharing: Sharing) -> Claim:
    """Let somebody else use a claim's boards, or look on; raises NotFoundError for nobody known."""
    claim = _open(controlled(draft, principal, key))
    _known(draft, user)
    if user == claim.principal:
        raise InvalidError(f"claim {claim.id} is {user}'s own")
    if sharing is Sharing.WRITE and draft.principals[user].role is Role.VIEWER:
        raise InvalidError(f"{user} is a viewer and may only look on; share it read-only")
    claim = replace(claim, shares={**claim.shares, user: sharing})
    draft.claims.put(claim.id, claim)
    what = "use" if sharing is Sharing.WRITE else "look at"
    text = f"{principal.name} lets {user} {what} claim {claim.id}"
    _tell(draft, "claim.shared", text, claim, principal, user)
    return claim


def unshare(draft: Draft, principal: Principal, key: str, user: str) -> Claim:
    """Take back what was shared; whoever it was shared with may also step back."""
    claim = find(draft, principal, key)
    if user != principal.name:
        claim = controlled(draft, principal, key)
    if user not in claim.shares:
        raise NotFoundError(f"claim {claim.id} is not shared with {user}", kind="not-shared")
    shares = {name: sharing for name, sharing in claim.shares.items() if name != user}
    claim = replace(claim, shares=shares)
    draft.claims.put(claim.id, claim)
    text = f"{principal.name} no longer shares claim {claim.id} with {user}"
    _tell(draft, "claim.unshared", text, claim, principal, user)
    return claim


def hand_over(draft: Draft, principal: Principal, key: str, user: str) -> Claim:
    """Make somebody else a claim's owner; it goes to their project if they are not of its own.

    Raises:
        NotFoundError: nobody known.
        ConflictError: their project may not hold so many boards.
    """
    claim = _open(controlled(draft, principal, key))
    owner = _known(draft, user)
    if user == claim.principal:
        raise InvalidError(f"claim {claim.id} is {user}'s own already")
    project = claim.project
    if project not in access.projects(owner):
        project = access.project_of(owner, None)
    name = claim.name if not draft.pools.named.get((user, claim.name)) else ""
    shares = {other: sharing for other, sharing in claim.shares.items() if other != user}
    handed = replace(claim, principal=user, project=project, name=name, shares=shares)
    draft.claims.put(claim.id, handed)
    if project != claim.project and handed.state is ClaimState.ACTIVE:
        quota = _broken_quota(draft, handed)
        if quota is not None:
            raise ConflictError(f'project "{project}" would be over its quota for {quota}', kind="over-quota")
    text = f"{principal.name} handed claim {claim.id} over to {user}"
    _tell(draft, "claim.handed-over", text, handed, principal, user)
    return handed


def _broken_quota(draft: Draft, claim: Claim) -> str | None:
    account = accounts(draft, [claim])[claim.project]
    held = account.held
    for name, most in account.quotas.items():
        if (held.total() if name == "*" else held[name]) > most:
            return "boards in all" if name == "*" else f'class "{name}"'
    return None


def kick(draft: Draft, principal: Principal, key: str, reason: str) -> Claim:
    """End a claim at once, against its owner's will (admins of its project, and of the lab)."""
    claim = find(draft, principal, key)
    if not access.may_kick(principal, claim):
        raise ForbiddenError(f'only an admin of project "{claim.project}" may end claims of others')
    why = f": {reason}" if reason else ""
    if claim.state in (ClaimState.PENDING, ClaimState.ACTIVE):
        text = f"{principal.name} ended claim {claim.id} of {claim.principal}{why}"
        _tell(draft, "claim.kicked", text, claim, principal)
    return end(draft, claim, f"ended by {principal.name}{why}", principal)


def alive(draft: Draft, principal: Principal, key: str) -> Claim:
    """Take a sign of life of the client a claim is for."""
    claim = controlled(draft, principal, key)
    if claim.keep_alive is None:
        raise ConflictError(f"claim {claim.id} needs no sign of life", kind="not-kept-alive")
    if claim.state in (ClaimState.PENDING, ClaimState.ACTIVE):
        claim = replace(claim, alive=draft.now)
        draft.claims.put(claim.id, claim)
    return claim


def _open(claim: Claim) -> Claim:
    if claim.state not in (ClaimState.PENDING, ClaimState.ACTIVE):
        raise ConflictError(f"claim {claim.id} is {claim.state}")
    return claim


def _known(draft: Draft, user: str) -> Principal:
    known = draft.principals.get(user)
    if known is None:
        raise NotFoundError(
            f'there is no user "{user}"; `hostler principal list` tells who there is',
            kind="unknown-principal",
        )
    return known


def _tell(
    draft: Draft, kind: str, text: str, claim: Claim, principal: Principal, user: str | None = None
) -> None:
    data = {"user": user} if user is not None else {}
    draft.event(kind, text, board=claim.board, claim=claim.id, principal=principal.name, data=data)
