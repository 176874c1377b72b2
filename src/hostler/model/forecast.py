"""When waiting claims may expect their boards: the scheduler's order, played forward with the ends known."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from hostler.model.schedule import Account, Bookings, Line, booked, match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.model.claim import Claim, Want
    from hostler.model.schedule import Supply


class Place(NamedTuple):
    """Where a waiting claim stands.

    Attributes:
        position: Its place among those it competes with, from 1; None: it is booked for later.
        expected: Unix time at which it may expect its boards; None: nobody knows.
    """

    position: int | None
    expected: float | None


def forecast(
    waiting: Iterable[Claim], accounts: Mapping[str, Account], supply: Supply, now: float
) -> dict[str, Place]:
    """Return the place of every waiting claim, by id.

    As far as this knows nobody gives a board back early, and none breaks: mostly it errs on the late side.

    Args:
        waiting: Every pending claim that competes for the same boards, bookings included.
        accounts: Every project of these claims; left as they are.
        supply: The boards.
        now: Unix time.
    """
    claims = list(waiting)
    bookings = [claim for claim in claims if booked(claim, now)]
    plan = Bookings(bookings, supply, now)
    unserved = {claim.id for claim in plan.unserved()} if bookings else set()
    places = {claim.id: Place(None, None if claim.id in unserved else claim.start) for claim in bookings}
    coming = _Coming(supply, plan.reservations() if bookings else {}, now)
    later = {name: _copy(account) for name, account in accounts.items()}
    line = Line((claim for claim in claims if not booked(claim, now)), later, now)
    for position, claim in enumerate(line, 1):
        boards, expected = coming.serve(claim)
        later[claim.project].held.update(supply.board_class(board) for board in boards)
        if accounts[claim.project].over(boards, supply) is not None:
            expected = None  # it waits for its own project, which may give back what it likes
        places[claim.id] = Place(position, expected)
    return places


def _copy(account: Account) -> Account:
    return Account(account.weight, account.quotas, Counter(account.held), dict(account.granted))


class _Coming:
    """When each board is free next, as claims are served one after another."""

    def __init__(self, supply: Supply, reserved: Mapping[str, list[tuple[float, float]]], now: float) -> None:
        self._supply = supply
        self._reserved = reserved
        self._now = now
        self._times = dict(supply.times())
        self._heaps: dict[Want, list[tuple[float, str]]] = {}

    def serve(self, claim: Claim) -> tuple[tuple[str, ...], float | None]:
        """Give a claim the boards that are free first; returns them and when they all are."""
        most = len(claim.wants)
        rows = [self._soonest(want, most, claim.ttl) for want in claim.wants]
        for moment in sorted({time for row in rows for time, _ in row}):
            found = match([[name for time, name in row if time <= moment] for row in rows])
            boards = tuple(name for name in found if name is not None)
            if len(boards) == most:
                for board in boards:
                    self._hold(board, moment + claim.ttl + self._supply.wipe(board))
                return boards, max(moment, self._now)
        return (), None

    def _soonest(self, want: Want, most: int, ttl: float) -> list[tuple[float, str]]:
        """Return the boards for a want that are free first, as many as can be needed, with their times."""
        if self._reserved:
            fit = (name for name in self._times if self._supply.suits(name, want))
            return heapq.nsmallest(most, ((self._gap(name, ttl), name) for name in fit))
        heap = self._heaps.get(want)
        if heap is None:
            heap = [(time, name) for name, time in self._times.items() if self._supply.suits(name, want)]
            heapq.heapify(heap)
            self._heaps[want] = heap
        found: list[tuple[float, str]] = []
        while heap and len(found) < most:
            time, name = heapq.heappop(heap)
            if self._times[name] == time and (time, name) not in found:  # else it was given away since
                found.append((time, name))
        for entry in found:
            heapq.heappush(heap, entry)
        return found

    def _gap(self, board: str, ttl: float) -> float:
        """Return when a board is free for so long, and clean again before it is booked."""
        time = max(self._times[board], self._now)
        for start, end in self._reserved.get(board, ()):
            if time + ttl + self._supply.wipe(board) > start and time < end:
                time = end
        return time

    def _hold(self, board: str, until: float) -> None:
        self._times[board] = until
        for want, heap in self._heaps.items():
            if self._supply.suits(board, want):
                heapq.heappush(heap, (until, board))
