"""Claims: asked for, granted from the queue, and given back clean."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import access, boards, runs
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, Refusal
from hostler.hub.records import HUB, Principal, Purpose
from hostler.model.board import Lifecycle, move
from hostler.model.claim import Claim, ClaimState, Want, grants, queue
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.hub.clock_jump import Jump
    from hostler.hub.state import Draft

MAX_TTL = 366 * 86400.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ID = re.compile(r"c-[0-9a-f]{12}")


def request(
    draft: Draft, principal: Principal, board_class: str, *, name: str = "", ttl: float = 7200.0,
    image: str | None = None, power: bool = False, wait: bool = False,
) -> Claim:  # fmt: skip
    """Make a claim; it is granted at once, or waits its turn if ``wait`` says so.

    Raises:
        NotFoundError: there is no such class or image; the text names those there are.
        ConflictError: no board of the class is free and ``wait`` is false, or the name is in use.
        InvalidError: the name or the time is malformed, or the image does not run on the class.
    """
    if board_class not in draft.inventory.classes:
        known = ", ".join(sorted(draft.inventory.classes)) or "none yet"
        raise NotFoundError(f'there is no class "{board_class}"; classes: {known}', kind="unknown-class")
    if not 0 < ttl <= MAX_TTL:
        raise InvalidError(
            f"ttl must be more than 0 seconds and at most {MAX_TTL / 86400:g} days, not {ttl:g}"
        )
    if name and (not _NAME.fullmatch(name) or _ID.fullmatch(name)):
        raise InvalidError(f'"{name}" is not a claim name; use letters, digits, ".", "_" and "-", at most 63')
    mine = (claim for claim in draft.claims.values() if claim.principal == principal.name)
    if name and any(claim.name == name and claim.state is not ClaimState.CLOSED for claim in mine):
        raise ConflictError(
            f'you have an open claim named "{name}" already; release it or choose another name'
        )
    if image is not None:
        runs.refuse_misfit(runs.find_image(draft, image), draft.inventory.platform(board_class))
    claim = Claim(
        f"c-{secrets.token_hex(6)}", principal.name, access.project_of(principal, None),
        (Want(board_class),), name, ttl, image, power, ClaimState.PENDING, draft.now,
    )  # fmt: skip
    draft.claims.put(claim.id, claim)
    draft.event(
        "claim.created", f'{principal.name} asked for a board of class "{board_class}"',
        claim=claim.id, principal=principal.name,
    )  # fmt: skip
    settle(draft)
    claim = draft.claims[claim.id]
    if claim.state is ClaimState.PENDING and not wait:
        ahead = (position(draft.claims.values(), claim) or 1) - 1
        waiting = f", {ahead} waiting" if ahead else ""
        raise ConflictError(
            f'no board of class "{board_class}" is free{waiting}; ask to wait, or try again later',
            kind="none-free",
        )
    return claim


def release(draft: Draft, principal: Principal, key: str) -> Claim:
    """Give a claim back; releasing one that is being released changes nothing."""
    claim = find(draft.claims.values(), principal, key)
    if not principal.admin and claim.principal != principal.name:
        raise ForbiddenError(f"claim {claim.id} belongs to {claim.principal}")
    return _end(draft, claim, "released", principal)


def expire(draft: Draft) -> None:
    """Begin the release of every claim whose time is over."""
    for claim in list(draft.claims.values()):
        if claim.state is ClaimState.ACTIVE and claim.expires is not None and claim.expires <= draft.now:
            _end(draft, claim, "expired", HUB)


def follow_clock(draft: Draft, jump: Jump) -> None:
    """Keep what is left of every claim as it was when the clock is set.

    A claim granted later than the clock then showed was granted by a right clock, before a restart with a
    wrong one: its end is right as it is.
    """
    for claim in list(draft.claims.values()):
        if claim.granted is not None and claim.expires is not None and claim.granted <= jump.before:
            granted, expires = claim.granted + jump.seconds, claim.expires + jump.seconds
            draft.claims.put(claim.id, replace(claim, granted=granted, expires=expires))
    text = f"the host's clock was set by {jump.seconds:+.0f} s; claims last as long as they would have"
    draft.event("clock.set", text, data={"seconds": jump.seconds})


def settle(draft: Draft) -> None:
    """Grant what can be granted: first come, first served within a class."""
    pending = [claim for claim in draft.claims.values() if claim.state is ClaimState.PENDING]
    if not pending:
        return
    wanted = {claim.board_class for claim in pending}
    free = {
        record.board.name: (record.board.board_class, record.lifecycle)
        for record in draft.boards.values()
        if record.lifecycle is Lifecycle.AVAILABLE and record.board.board_class in wanted
    }
    for claim, board in grants(pending, free):
        _grant(draft, claim, board)


def _grant(draft: Draft, claim: Claim, name: str) -> None:
    record = draft.boards[name]
    lifecycle = move(name, record.lifecycle, Lifecycle.CLAIMED)
    power = PowerState.ON if claim.power else PowerState.OFF
    record = replace(record, lifecycle=lifecycle, reason="", claim=claim.id, power=power)
    draft.boards.put(name, record)
    expires = draft.now + claim.ttl
    claim = replace(claim, state=ClaimState.ACTIVE, boards=(name,), granted=draft.now, expires=expires)
    draft.claims.put(claim.id, claim)
    about = {"board": name, "claim": claim.id, "principal": claim.principal}
    draft.event("claim.granted", f'{claim.principal} holds board "{name}"', **about)
    if claim.image is not None:
        holder = draft.principals.get(claim.principal) or HUB
        try:
            runs.make(draft, holder, name, f"install:{claim.image},boot", Purpose.DEPLOY)
        except Refusal as error:
            # The claim was right when it was made; what has changed since is told, and the board is theirs.
            draft.event("claim.deploy-refused", error.detail, **about)


def _end(draft: Draft, claim: Claim, reason: str, principal: Principal) -> Claim:
    about = {"claim": claim.id, "principal": principal.name}
    if claim.state is ClaimState.PENDING:
        claim = replace(claim, state=ClaimState.CLOSED, closed=draft.now, reason="cancelled")
        draft.claims.put(claim.id, claim)
        draft.event("claim.closed", f"{claim.principal} waits no longer", **about)
        return claim
    if claim.state is ClaimState.ACTIVE:
        board = claim.board
        assert board is not None
        claim = replace(claim, state=ClaimState.RELEASING, reason=reason)
        draft.claims.put(claim.id, claim)
        draft.event("claim.releasing", f'board "{board}" is {reason} and being wiped', board=board, **about)
        boards.give_back(draft, draft.boards[board], principal)
        return draft.claims.get(claim.id) or claim
    return claim


def find(claims: Iterable[Claim], principal: Principal, key: str) -> Claim:
    """Find an open claim by id, or by name among one's own first and then among all.

    Raises:
        NotFoundError: there is none.
        ConflictError: the name is not unique; the text gives the ids.
    """
    known = list(claims)
    for claim in known:
        if claim.id == key:
            return claim
    named = [claim for claim in known if claim.name == key and claim.state is not ClaimState.CLOSED]
    mine = [claim for claim in named if claim.principal == principal.name]
    found = mine or named
    if len(found) > 1:
        ids = ", ".join(sorted(claim.id for claim in found))
        raise ConflictError(f'several claims are named "{key}": {ids}; use the id')
    if not found:
        raise NotFoundError(f'there is no open claim "{key}"', kind="unknown-claim")
    return found[0]


def position(claims: Iterable[Claim], claim: Claim) -> int | None:
    """Return a waiting claim's place in its queue, from 1; None when it does not wait."""
    if claim.state is not ClaimState.PENDING:
        return None
    return [waiting.id for waiting in queue(claims, claim.board_class or "")].index(claim.id) + 1
