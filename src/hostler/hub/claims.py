"""Claims: asked for, found again, and given back clean. Who is served next is decided in ``claim_queue``."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from hostler.hub import access, boards, runs
from hostler.hub.claim_queue import bookings_lost_to, fits, settle
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.image_sight import find_image
from hostler.hub.pools import pools_of
from hostler.hub.records import DEFAULT_PROJECT, HUB, Principal
from hostler.hub.signed_images import refuse_unsigned
from hostler.model.board import Lifecycle
from hostler.model.claim import Claim, ClaimState, Origin, Want
from hostler.model.labels import LabelError, read_terms
from hostler.model.schedule import ALL_CLASSES, booked, match

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hostler.hub.records import BoardRecord
    from hostler.hub.state import Draft

MAX_TTL = 366 * 86400.0
MOST_BOARDS = 256
"""Most boards in one claim: more is a mistake, and finding boards for all at once takes its time."""
PRIORITIES = range(-100, 101)
KEEP_ALIVE = (5.0, 3600.0)
"""Shortest and longest time in seconds that a client may be silent: less is noise, more a claim's own end."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ID = re.compile(r"c-[0-9a-f]{12}")


def request(
    draft: Draft, principal: Principal, wants: Sequence[Want], *, name: str = "", ttl: float = 7200.0,
    image: str | None = None, power: bool = False, wait: bool = False, project: str | None = None,
    priority: int = 0, start: float | None = None, keep_alive: float | None = None,
    origin: Origin = Origin.USER,
) -> Claim:  # fmt: skip
    """Make a claim; it is granted at once, or waits its turn if ``wait`` says so or it is for later.

    Args:
        draft: What is being decided.
        principal: Who asks.
        wants: One for each board; all or none are given.
        name: The principal's own name for it.
        ttl: Seconds it lasts once active.
        image: Installed on every board as soon as it is active.
        power: Whether the boards are switched on then.
        wait: Whether it may wait.
        project: On whose account; None: the principal's only project.
        priority: Within what the project may; negative ones stand back.
        start: Unix time from which the boards are needed; None: now.
        keep_alive: Seconds without a sign of life after which it ends; None: it needs none.
        origin: Who it is for.

    Raises:
        NotFoundError: there is no such class, board, image or project, or no board is like that.
        ConflictError: none is free and ``wait`` is false, the name is in use, a quota could never be met,
            or other bookings stand in the way.
        InvalidError: a word, a number or a time is malformed, or the image does not run on the boards.
        ForbiddenError: the principal may not ask for that project or priority.
    """
    wants = tuple(_plain(draft, want) for want in wants)
    if not 1 <= len(wants) <= MOST_BOARDS:
        raise InvalidError(f"a claim is for 1 to {MOST_BOARDS} boards, not for {len(wants)}")
    _check_terms(draft, principal, name=name, ttl=ttl, start=start, keep_alive=keep_alive)
    if (
        project is not None
        and project != DEFAULT_PROJECT
        and project not in draft.projects
        and origin is Origin.USER
    ):
        raise NotFoundError(f'there is no project "{project}"', kind="unknown-project")
    account = access.project_of(principal, project) if origin is Origin.USER else project or principal.name
    if origin is Origin.USER:
        _check_priority(draft, principal, account, priority)
    fitting = [
        [record for record in _candidates(draft, want, len(wants)) if fits(record, want, draft.inventory)]
        for want in wants
    ]
    _check_supply(wants, fitting)
    _check_quotas(draft, account, wants, fitting)
    _check_ttl(draft, principal, ttl, fitting)
    if image is not None:
        found = find_image(draft, image, principal)
        for board_class in sorted({record.board.board_class for row in fitting for record in row}):
            platform = draft.inventory.platform(board_class)
            runs.refuse_misfit(found, platform)
            wanted = draft.inventory.classes[board_class]
            refuse_unsigned(found, wanted, platform.arch, draft.agents.get(platform.arch))
    claim = Claim(
        f"c-{secrets.token_hex(6)}", principal.name, account, wants, name, ttl, image, power,
        ClaimState.PENDING, draft.now, priority=priority, start=start, keep_alive=keep_alive,
        alive=draft.now if keep_alive else None, origin=origin,
    )  # fmt: skip
    if booked(claim, draft.now):
        _check_booking(draft, claim)
    draft.claims.put(claim.id, claim)
    kind = "claim.booked" if booked(claim, draft.now) else "claim.created"
    draft.event(
        kind, f"{principal.name} asked for {wanted_text(wants)}", claim=claim.id, principal=principal.name
    )
    settle(draft)
    claim = draft.claims[claim.id]
    if claim.state is ClaimState.PENDING and not wait and not booked(claim, draft.now):
        raise ConflictError(_none_free(draft, claim), kind="none-free")
    return claim


def wanted_text(wants: Sequence[Want]) -> str:
    """Return what is wanted in words."""
    counted = Counter(str(want) for want in wants)
    return " and ".join(text if count == 1 else f"{count} times {text}" for text, count in counted.items())


def _plain(draft: Draft, want: Want) -> Want:
    if want.board is None and want.board_class is None and not want.labels:
        raise InvalidError("say which board: a class, labels such as arch=arm64, or a board's name")
    if want.board_class is not None and want.board_class not in draft.inventory.classes:
        known = ", ".join(sorted(draft.inventory.classes)) or "none yet"
        raise NotFoundError(f'there is no class "{want.board_class}"; classes: {known}', kind="unknown-class")
    if want.board is not None and want.board not in draft.inventory.boards:
        if want.board in draft.boards:
            raise ConflictError(f'board "{want.board}" is not in lab.toml; an admin has to adopt it first')
        raise NotFoundError(f'there is no board "{want.board}"', kind="unknown-board")
    try:
        terms = tuple(term for text in want.labels for term in read_terms(text))
    except LabelError as error:
        raise InvalidError(str(error), kind="bad-labels") from error
    return replace(want, labels=terms)


def _check_terms(
    draft: Draft, principal: Principal, *, name: str, ttl: float, start: float | None,
    keep_alive: float | None,
) -> None:  # fmt: skip
    if not 0 < ttl <= MAX_TTL:
        raise InvalidError(
            f"ttl must be more than 0 seconds and at most {MAX_TTL / 86400:g} days, not {ttl:g}"
        )
    if start is not None and not draft.now <= start <= draft.now + MAX_TTL:
        raise InvalidError("a booking begins later than now, and within a year", kind="bad-start")
    if keep_alive is not None and not KEEP_ALIVE[0] <= keep_alive <= KEEP_ALIVE[1]:
        raise InvalidError(
            f"keep_alive must be {KEEP_ALIVE[0]:g} to {KEEP_ALIVE[1]:g} seconds, not {keep_alive:g}"
        )
    if name and (not _NAME.fullmatch(name) or _ID.fullmatch(name)):
        raise InvalidError(f'"{name}" is not a claim name; use letters, digits, ".", "_" and "-", at most 63')
    if name and draft.pools.named.get((principal.name, name)):
        raise ConflictError(
            f'you have an open claim named "{name}" already; release it or choose another name'
        )


def _check_priority(draft: Draft, principal: Principal, project: str, priority: int) -> None:
    if priority not in PRIORITIES:
        raise InvalidError(f"priority is a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}")
    known = draft.projects.get(project)
    highest = known.priority if known is not None else 0
    if priority > highest and not principal.admin:
        raise ForbiddenError(
            f'claims of project "{project}" have priority {highest} at most; ask an admin for more'
        )


def _candidates(draft: Draft, want: Want, most: int | None = None) -> Iterable[BoardRecord]:
    if want.board is not None:
        names: Iterable[str] = (want.board,)
    elif want.board_class is not None:
        names = draft.pools.members.get(want.board_class, ())
        if most is not None and not want.labels:
            names = islice(names, most)  # any of them will do
    else:
        names = (name for members in draft.pools.members.values() for name in members)
    return (record for name in names if (record := draft.boards.get(name)) is not None)


def _check_supply(wants: Sequence[Want], fitting: Sequence[Sequence[BoardRecord]]) -> None:
    """Refuse what could not be given even if every board were free."""
    for want, row in zip(wants, fitting, strict=True):
        if not row:
            raise NotFoundError(f"the lab has not {want}", kind="no-such-board")
    if len(wants) == 1:
        return
    found = match([[record.name for record in row] for row in fitting])
    if None in found:
        raise ConflictError(f"the lab has not boards enough for {wanted_text(wants)}", kind="too-many")


def _check_quotas(
    draft: Draft, project: str, wants: Sequence[Want], fitting: Sequence[Sequence[BoardRecord]]
) -> None:
    """Refuse what a project may never hold; what it may not hold just now waits."""
    known = draft.projects.get(project)
    if known is None or not known.quotas:
        return
    needed: Counter[str] = Counter()
    for row in fitting:
        of_class = {record.board.board_class for record in row}
        if len(of_class) == 1:
            needed[of_class.pop()] += 1
    for name, count in ((ALL_CLASSES, len(wants)), *needed.items()):
        most = known.quotas.get(name)
        if most is not None and count > most:
            what = "boards" if name == ALL_CLASSES else f'boards of class "{name}"'
            raise ConflictError(
                f'project "{project}" may hold {most} {what} at once, and this asks for {count}',
                kind="over-quota",
            )


def _check_ttl(
    draft: Draft, principal: Principal, ttl: float, fitting: Sequence[Sequence[BoardRecord]]
) -> None:
    if principal.admin:
        return
    for row in fitting:
        for name in {record.board.board_class for record in row}:
            most = draft.inventory.classes[name].max_ttl
            if most is not None and ttl > most:
                raise InvalidError(
                    f'boards of class "{name}" are lent for {most:g} s at most, not {ttl:g}', kind="too-long"
                )


def _check_booking(draft: Draft, claim: Claim) -> None:
    lost = bookings_lost_to(draft, claim)
    if not lost:
        return
    start = claim.start or draft.now
    holders = sorted(
        f'board "{record.name}" is {why}'
        for want in claim.wants
        for record in _candidates(draft, want)
        if fits(record, want, draft.inventory) and (why := _away(draft, record, start))
    )
    known = f": {'; '.join(dict.fromkeys(holders))}" if holders else ""
    booked_by_others = any(other.id != claim.id for other in lost) or not holders
    others = "; other bookings need the rest" if booked_by_others else ""
    raise ConflictError(
        f"{wanted_text(claim.wants)} cannot be kept free from then on{known}{others}", kind="booking-conflict"
    )


def _away(draft: Draft, record: BoardRecord, then: float) -> str:
    """Say why a board will not be there at a time, or nothing."""
    if record.lifecycle in (Lifecycle.AVAILABLE, Lifecycle.RELEASING):
        return ""
    claim = draft.claims.get(record.claim or "")
    if record.lifecycle is not Lifecycle.CLAIMED or claim is None or claim.expires is None:
        return str(record.lifecycle)
    late = claim.expires - then
    return f"held by {claim.principal} until {late:.0f} s after that" if late > 0 else "wiped until then"


def _none_free(draft: Draft, claim: Claim) -> str:
    """Say why a claim was not granted at once."""
    aside = sum(
        record.lifecycle in (Lifecycle.QUARANTINED, Lifecycle.MAINTENANCE)
        for want in claim.wants[:1]
        for record in _candidates(draft, want)
    )
    pools = pools_of(claim, draft.inventory)
    pending = {key for pool in pools for key in draft.pools.waiting.get(pool, ())}
    waiting = f", {len(pending)} waiting" if pending else ""
    apart = f", {aside} quarantined or in maintenance" if aside else ""
    what = str(claim.wants[0]).removeprefix("a ")
    if len(claim.wants) > 1:
        all_of_them = wanted_text(claim.wants)
        return f"{all_of_them} are not free at once{waiting}{apart}; ask to wait, or try again later"
    if claim.wants[0].board is not None:
        now = draft.boards[claim.wants[0].board].lifecycle
        return f"{what} is {now}{waiting}; ask to wait, or try again later"
    return f"no {what} is free{waiting}{apart}; ask to wait, or try again later"


def release(draft: Draft, principal: Principal, key: str) -> Claim:
    """Give a claim back; releasing one that is being released changes nothing."""
    claim = controlled(draft, principal, key)
    return end(draft, claim, "released", principal)


def end(draft: Draft, claim: Claim, reason: str, principal: Principal = HUB) -> Claim:
    """End a claim: one that waits is closed, the boards of one that holds some are wiped first."""
    about = {"claim": claim.id, "principal": principal.name}
    if claim.state is ClaimState.PENDING:
        said = "cancelled" if reason == "released" else reason
        claim = replace(claim, state=ClaimState.CLOSED, closed=draft.now, reason=said)
        draft.claims.put(claim.id, claim)
        draft.event("claim.closed", f"{claim.principal} waits no longer: {said}", **about)
        return claim
    if claim.state is ClaimState.ACTIVE:
        claim = replace(claim, state=ClaimState.RELEASING, reason=reason)
        draft.claims.put(claim.id, claim)
        for board in claim.boards:
            draft.event(
                "claim.releasing", f'board "{board}" is {reason} and being wiped', board=board, **about
            )
            boards.give_back(draft, draft.boards[board], principal)
        return draft.claims.get(claim.id) or claim
    return claim


def controlled(draft: Draft, principal: Principal, key: str) -> Claim:
    """Return an open claim this principal may decide about; raises NotFoundError or ForbiddenError."""
    claim = find(draft, principal, key)
    if not access.may_control(principal, claim):
        raise ForbiddenError(f"claim {claim.id} belongs to {claim.principal}")
    return claim


def find(draft: Draft, principal: Principal, key: str) -> Claim:
    """Find an open claim by id, or by name among one's own first and then among all.

    Raises:
        NotFoundError: there is none.
        ConflictError: the name is not unique; the text gives the ids.
    """
    claim = draft.claims.get(key)
    if claim is not None:
        return claim
    mine = draft.pools.named.get((principal.name, key))
    ids = mine or [one for (_, name), known in draft.pools.named.items() if name == key for one in known]
    found = [
        claim for one in ids if (claim := draft.claims.get(one)) and claim.state is not ClaimState.CLOSED
    ]
    if len(found) > 1:
        listed = ", ".join(sorted(claim.id for claim in found))
        raise ConflictError(f'several claims are named "{key}": {listed}; use the id')
    if not found:
        raise NotFoundError(f'there is no open claim "{key}"', kind="unknown-claim")
    return found[0]
