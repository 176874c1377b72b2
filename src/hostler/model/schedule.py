"""The scheduler: which waiting claims get which boards now, and when the others may expect theirs.

Order
    Claims are served one after another. First those whose booked time has come, by that time. The others by
    level, highest first: a claim's priority, and one more for each full hour its turn has been overdue. Among
    equals the project that holds the least boards for its weight is first, and within it who came first.
    A turn is overdue since the claim was made or, if later, since its project last got a board it still
    holds for a claim of the same priority. So a project with a long queue does not push others aside by its
    age, and nobody waits for ever. The lab's own checks come after everybody.

All or nothing
    A claim gets all its boards or none. One that wants several, and cannot have them yet, keeps the free
    boards it can use, so that later ones cannot overtake it for ever. It keeps none while something it
    wants is not going to come back by itself.

Quotas
    A claim that would take its project over a quota waits and is passed by. It keeps nothing.

Bookings
    A claim may begin later. Nobody gets a board that a booking could then not do without, as far as claims'
    ends and the usual time of a wipe tell. A claim that is short enough to fit before it is served.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from hostler.model.claim import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostler.model.claim import Claim, Want

LEVEL_SECONDS = 3600.0
"""A turn overdue by this is worth one level of priority."""

ALL_CLASSES = "*"
"""The quota that counts boards of every class together."""


class Supply(Protocol):
    """The boards as they are at this moment."""

    def free(self, want: Want, origin: Origin) -> Iterable[str]:
        """Return the boards that may be given now and are what is wanted, by name."""
        ...

    def suits(self, board: str, want: Want) -> bool:
        """Tell whether a board is what is wanted, free or not."""
        ...

    def board_class(self, board: str) -> str:
        """Return a board's class."""
        ...

    def wipe(self, board: str) -> float:
        """Return how many seconds a wipe of this board usually takes."""
        ...

    def times(self) -> Mapping[str, float]:
        """Return when each board is free, as Unix time, without those that do not come back by themselves."""
        ...


@dataclass(slots=True)
class Account:
    """What a project holds and may hold.

    Attributes:
        weight: Its part of a lab that is too small for all.
        quotas: Most boards it may hold at once, by class or ``ALL_CLASSES``.
        held: Boards it holds, by class.
        granted: When it last got a board that it still holds, by priority of the claim.
    """

    weight: float = 1.0
    quotas: Mapping[str, int] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)
    granted: dict[int, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Boards held for each unit of weight."""
        return sum(self.held.values()) / self.weight

    def over(self, boards: Iterable[str], supply: Supply) -> str | None:
        """Return the quota that these boards would break, or None."""
        if not self.quotas:
            return None
        held = self.held + Counter(supply.board_class(board) for board in boards)
        if held.total() > self.quotas.get(ALL_CLASSES, inf):
            return ALL_CLASSES
        return next((name for name, count in held.items() if count > self.quotas.get(name, inf)), None)


class Grant(NamedTuple):
    """A claim and the boards it gets, in the order of its wants."""

    claim: Claim
    boards: tuple[str, ...]


def schedule(
    waiting: Iterable[Claim], accounts: Mapping[str, Account], supply: Supply, now: float
) -> list[Grant]:
    """Return the grants to make now; no board and no claim is in two of them.

    Args:
        waiting: Every pending claim that competes for the boards, bookings included.
        accounts: Every project of these claims; its ``held`` is brought up to date with what is granted.
        supply: The boards.
        now: Unix time.
    """
    claims = list(waiting)
    bookings = [claim for claim in claims if booked(claim, now)]
    plan = Bookings(bookings, supply, now) if bookings else None
    taken: set[str] = set()
    grants: list[Grant] = []
    line = Line((claim for claim in claims if not booked(claim, now)), accounts, now)
    for claim in line:
        account = accounts[claim.project]
        chosen = _choose(claim, supply, taken, account)
        boards = tuple(name for name in chosen if name is not None)
        complete = len(boards) == len(claim.wants)
        if complete and plan is not None:
            boards, complete = _beside(plan, claim, boards, supply, taken, account, now)
        if complete and account.over(boards, supply) is None:
            grants.append(Grant(claim, boards))
            taken.update(boards)
            account.held.update(supply.board_class(board) for board in boards)
            if plan is not None:
                plan.occupy(boards, now + claim.ttl)
        elif not complete and len(claim.wants) > 1 and boards and _may_come_true(claim, supply, account):
            taken.update(boards)
    return grants


def booked(claim: Claim, now: float) -> bool:
    """Tell whether a claim is for a time yet to come."""
    return claim.start is not None and claim.start > now


def _choose(
    claim: Claim, supply: Supply, taken: set[str], account: Account, spared: frozenset[str] = frozenset()
) -> list[str | None]:
    most = len(claim.wants)

    def candidates(want: Want) -> list[str]:
        fit = (
            name
            for name in supply.free(want, claim.origin)
            if name not in taken and name not in spared and account.over((name,), supply) is None
        )
        # More than there are wants are never needed: one of them is left whatever the others take.
        return list(islice(fit, most))

    return match([candidates(want) for want in claim.wants])


def _beside(
    plan: Bookings, claim: Claim, boards: tuple[str, ...], supply: Supply, taken: set[str], account: Account,
    now: float,
) -> tuple[tuple[str, ...], bool]:  # fmt: skip
    """Return boards for a claim that leave every booking served, and whether there are any."""
    end = now + claim.ttl
    if plan.holds(dict.fromkeys(boards, end)) is None:
        return boards, True
    others = _choose(claim, supply, taken, account, plan.needed(end))
    boards = tuple(name for name in others if name is not None)
    # Those before are no longer all there, but nothing is kept for a claim that stands behind a booking.
    return (boards, True) if len(boards) == len(claim.wants) else ((), False)


def _may_come_true(claim: Claim, supply: Supply, account: Account) -> bool:
    """Tell whether every board of a claim is free or will be."""
    if account.over((), supply) is not None:
        return False
    coming = supply.times()
    most = len(claim.wants)
    rows = [list(islice((n for n in coming if supply.suits(n, want)), most)) for want in claim.wants]
    found = [name for name in match(rows) if name is not None]
    return len(found) == most and account.over(found, supply) is None


def match(candidates: Sequence[Sequence[str]]) -> list[str | None]:
    """Give as many wants as possible a board of their own (Kuhn's augmenting paths).

    Args:
        candidates: For each want the boards that would do, the first preferred.

    Returns:
        For each want its board, or None.
    """
    owner: dict[str, int] = {}

    def place(want: int, tried: set[str]) -> bool:
        for board in candidates[want]:
            if board not in owner:
                owner[board] = want
                return True
        for board in candidates[want]:
            if board not in tried:
                tried.add(board)
                if place(owner[board], tried):
                    owner[board] = want
                    return True
        return False

    for want in range(len(candidates)):
        place(want, set())
    chosen: list[str | None] = [None] * len(candidates)
    for board, want in owner.items():
        chosen[want] = board
    return chosen


class Line:
    """Yields claims in the order they are served; what is granted meanwhile moves a project back.

    Args:
        claims: Those whose time has come.
        accounts: Read again for each step.
        now: Unix time.
    """

    def __init__(self, claims: Iterable[Claim], accounts: Mapping[str, Account], now: float) -> None:
        self._accounts = accounts
        self._now = now
        self._rows: dict[str, list[tuple[tuple[float, ...], str, Claim]]] = {}
        for claim in claims:
            self._rows.setdefault(claim.project, []).append((self._standing(claim), claim.id, claim))
        for row in self._rows.values():
            heapq.heapify(row)

    def __iter__(self) -> Iterator[Claim]:
        while self._rows:
            project = min(self._rows, key=self._head)
            row = self._rows[project]
            claim = heapq.heappop(row)[2]
            if not row:
                del self._rows[project]
            yield claim

    def _head(self, project: str) -> tuple[tuple[float, ...], float, tuple[float, ...], str]:
        standing, key, _ = self._rows[project][0]
        return standing[:2], self._accounts[project].share, standing[2:], key

    def _standing(self, claim: Claim) -> tuple[float, ...]:
        """Return what a claim is sorted by within its project: level, booked time, time of asking."""
        if claim.origin is Origin.CHECK:
            return inf, 0.0, claim.created
        if claim.start is not None:
            return -inf, claim.start, claim.created
        return -self.level(claim), 0.0, claim.created

    def level(self, claim: Claim) -> float:
        """Return a claim's priority with what its turn's being overdue adds."""
        last = self._accounts[claim.project].granted.get(claim.priority, claim.created)
        overdue = self._now - max(claim.created, last)
        return claim.priority + max(0.0, overdue // LEVEL_SECONDS)


class Bookings:
    """Claims for later with the boards meant for them.

    Args:
        claims: The bookings.
        supply: The boards.
        now: Unix time.
    """

    def __init__(self, claims: Iterable[Claim], supply: Supply, now: float) -> None:
        self._claims = sorted(claims, key=lambda claim: (claim.start or now, claim.created, claim.id))
        self._supply = supply
        self._times = dict(supply.times())
        # Taken from the end: what is given now is taken from the beginning.
        self._names = sorted(self._times, reverse=True)

    def occupy(self, boards: Iterable[str], end: float) -> None:
        """Note that boards are held until ``end``."""
        for board in boards:
            self._times[board] = end + self._supply.wipe(board)

    def holds(self, until: Mapping[str, float]) -> Claim | None:
        """Return the first booking that can no longer be served if boards are held so long; None: all can."""
        lost = self._plan(until)[1]
        if lost:  # what cannot be served anyhow is nobody's fault
            lost_anyhow = {claim.id for claim in self._plan({})[1]}
            return next((claim for claim in lost if claim.id not in lost_anyhow), None)
        return None

    def unserved(self) -> list[Claim]:
        """Return the bookings for which there are not boards enough."""
        return self._plan({})[1]

    def needed(self, end: float) -> frozenset[str]:
        """Return the boards meant for bookings that begin before a claim ending at ``end`` is wiped."""
        meant, _ = self._plan({})
        wipe = self._supply.wipe
        return frozenset(
            board for claim, boards in meant for board in boards if (claim.start or 0.0) < end + wipe(board)
        )

    def reservations(self) -> dict[str, list[tuple[float, float]]]:
        """Return from when to when each board is meant for bookings, its wipe included."""
        spans: dict[str, list[tuple[float, float]]] = {}
        for claim, boards in self._plan({})[0]:
            start = claim.start or 0.0
            for board in boards:
                span = start, start + claim.ttl + self._supply.wipe(board)
                spans.setdefault(board, []).append(span)
        return spans

    def _plan(self, until: Mapping[str, float]) -> tuple[list[tuple[Claim, tuple[str, ...]]], list[Claim]]:
        times = self._times | {board: end + self._supply.wipe(board) for board, end in until.items()}
        meant: list[tuple[Claim, tuple[str, ...]]] = []
        missing: list[Claim] = []
        for claim in self._claims:
            start = claim.start or 0.0
            ready = [name for name in self._names if times[name] <= start]
            rows = [
                list(islice((n for n in ready if self._supply.suits(n, want)), len(claim.wants)))
                for want in claim.wants
            ]
            boards = tuple(name for name in match(rows) if name is not None)
            if len(boards) < len(claim.wants):
                missing.append(claim)
                continue
            meant.append((claim, boards))
            for board in boards:
                times[board] = start + claim.ttl + self._supply.wipe(board)
        return meant, missing
