"""Who is served next: by order, all or nothing, within quotas, beside bookings, and nobody never."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.claim import Claim, ClaimState, Origin, Want
from hostler.model.forecast import forecast
from hostler.model.schedule import LEVEL_SECONDS, Account, Bookings, match, schedule

PC, ARM = Want("pc"), Want("arm")


@dataclass
class Boards:
    """A supply with one class for each first letter: name to when it is free, inf: never."""

    free_at: dict[str, float]
    now: float = 0.0
    wiping: float = 10.0

    def free(self, want: Want, _origin: Origin) -> list[str]:
        return [
            name for name in sorted(self.free_at) if self.free_at[name] <= self.now and self.suits(name, want)
        ]

    def suits(self, board: str, want: Want) -> bool:
        return want.board in (None, board) and want.board_class in (None, self.board_class(board))

    def board_class(self, board: str) -> str:
        return board.split("-")[0]

    def wipe(self, _board: str) -> float:
        return self.wiping

    def times(self) -> dict[str, float]:
        return {name: time for name, time in self.free_at.items() if time < inf}


def ask(name: str, *wants: Want, created: float = 0.0, project: str = "a", **more) -> Claim:
    return Claim(
        name, "anna", project, wants or (PC,), "", more.pop("ttl", 100.0), None, False, ClaimState.PENDING,
        created, **more,
    )  # fmt: skip


def served(claims, boards: Boards, accounts=None) -> list[tuple[str, tuple[str, ...]]]:
    accounts = accounts or {claim.project: Account() for claim in claims}
    grants = schedule(claims, accounts, boards, boards.now)
    return [(grant.claim.id, grant.boards) for grant in grants]


def pcs(count: int, **more) -> Boards:
    return Boards({f"pc-{n}": 0.0 for n in range(count)}, **more)


def test_first_come_first_served():
    """Among equals who came first is first, whatever order they are given in."""
    claims = [ask("late", created=2), ask("first", created=1), ask("last", created=3)]
    assert served(claims, pcs(2)) == [("first", ("pc-0",)), ("late", ("pc-1",))]


def test_priority_goes_first_and_age_makes_up_for_it():
    """A higher priority goes first until the other's turn has been overdue an hour for each level."""
    low, high = ask("low", created=0.0), ask("high", created=2 * LEVEL_SECONDS - 1, priority=2)
    assert served([low, high], pcs(1, now=2 * LEVEL_SECONDS - 1))[0][0] == "high"
    assert served([low, high], pcs(1, now=3 * LEVEL_SECONDS))[0][0] == "low"


def test_checks_of_the_lab_come_last():
    """A check waits for everybody, however low and late they are."""
    check = ask("check", created=-1e6, priority=100, origin=Origin.CHECK)
    assert served([check, ask("user", created=1.0, priority=-100)], pcs(1, now=2.0))[0][0] == "user"


def test_projects_share_by_weight():
    """Boards go to the project that holds the least for its weight, one after another."""
    claims = [ask(f"a{n}", created=n, project="a") for n in range(9)]
    claims += [ask(f"b{n}", created=50 + n, project="b") for n in range(9)]
    accounts = {"a": Account(weight=1), "b": Account(weight=2)}
    given_to = Counter(name[0] for name, _ in served(claims, pcs(6, now=100.0), accounts))
    assert given_to == {"a": 2, "b": 4}


def test_a_long_queue_does_not_push_others_aside_by_its_age():
    """A project that got a board a moment ago is not overdue, however long its queue has waited."""
    now = 10 * LEVEL_SECONDS
    claims = [ask("old", created=0.0, project="a"), ask("new", created=now - 60, project="b")]
    accounts = {"a": Account(held=Counter(pc=3), granted={0: now - 30}), "b": Account()}
    assert served(claims, pcs(1, now=now), accounts)[0][0] == "new"


def test_all_or_nothing():
    """Who wants several boards gets all at once or none; each is what was wanted in its place."""
    boards = Boards({"pc-0": 0.0, "arm-0": 0.0, "arm-1": 99.0})
    assert served([ask("both", ARM, PC)], boards) == [("both", ("arm-0", "pc-0"))]
    assert served([ask("three", ARM, ARM, PC)], boards) == []


def test_wants_that_share_boards_are_matched():
    """A board that only one want can have is left to it, even if another one comes first."""
    claims = [ask("both", PC, Want(board="pc-0"))]
    assert served(claims, pcs(2)) == [("both", ("pc-1", "pc-0"))]


def test_several_boards_are_kept_for_who_waits_for_them():
    """A waiting claim for two keeps the one that is free from those behind it, but no more than it wants."""
    boards = Boards({"pc-0": 0.0, "arm-0": 50.0, "pc-1": 0.0})
    claims = [ask("both", PC, ARM, created=1), ask("small", created=2), ask("more", created=3)]
    assert served(claims, boards) == [("small", ("pc-1",))]


def test_nothing_is_kept_for_what_will_not_come():
    """While a board it needs is quarantined, a claim for several keeps nothing from others."""
    boards = Boards({"pc-0": 0.0, "arm-0": inf})
    assert served([ask("both", PC, ARM, created=1), ask("small", created=2)], boards) == [
        ("small", ("pc-0",))
    ]


def test_over_quota_waits_and_blocks_nobody():
    """A project gets no more than its quotas; what it waits for is no obstacle to others or to itself."""
    boards = Boards({"pc-0": 0.0, "pc-1": 0.0, "arm-0": 0.0, "arm-1": 0.0})
    claims = [
        ask("a1", PC, PC, created=1),
        ask("a2", created=2),
        ask("a3", created=3),
        ask("a4", ARM, created=4),
    ]
    claims += [ask("a5", ARM, created=5), ask("b1", created=6, project="b")]
    accounts = {"a": Account(quotas={"pc": 1, "*": 2}), "b": Account()}
    assert {name for name, _ in served(claims, boards, accounts)} == {"a2", "a4", "b1"}


def test_a_booking_is_not_run_into():
    """Nobody gets the board that a booking will need; who is done and wiped before gets it."""
    booking = ask("later", start=100.0)
    assert served([booking, ask("long", created=1, ttl=95.0)], pcs(1)) == []
    assert served([booking, ask("short", created=2, ttl=90.0)], pcs(1)) == [("short", ("pc-0",))]
    assert served([booking, ask("long", created=1, ttl=1e6)], pcs(2)) == [("long", ("pc-0",))]


def test_a_booking_that_is_due_goes_first():
    """Once its time has come a booking is served before everybody."""
    claims = [ask("high", priority=100), ask("booked", created=5, start=10.0)]
    assert served(claims, pcs(1, now=10.0)) == [("booked", ("pc-0",))]


def test_another_board_is_chosen_beside_a_booking():
    """If the first board is meant for a booking another one is given."""
    claims = [ask("later", Want(board="pc-0"), start=50.0), ask("now", created=1)]
    assert served(claims, pcs(2)) == [("now", ("pc-1",))]


def test_bookings_that_cannot_all_be_served():
    """Two bookings overlap on one board: the second is unserved; one after the other is fine."""
    boards = pcs(1)
    first, second = ask("first", start=100.0), ask("second", created=1, start=150.0)
    assert Bookings([first, second], boards, 0.0).unserved() == [second]
    assert Bookings([first, replace(second, start=210.0)], boards, 0.0).unserved() == []


def test_a_booking_that_is_lost_anyhow_stops_nobody():
    """A booking whose board is quarantined does not keep the rest of the lab waiting."""
    boards = Boards({"pc-0": inf, "pc-1": 0.0})
    claims = [ask("later", Want(board="pc-0"), start=50.0), ask("now", created=1)]
    assert served(claims, boards) == [("now", ("pc-1",))]


@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=4, unique=True), max_size=6))
def test_matching_is_as_large_as_can_be(candidates):
    """No board twice, only boards that were named, and as many as trying everything finds."""
    found = match(candidates)
    chosen = [board for board in found if board is not None]
    assert len(set(chosen)) == len(chosen)
    assert all(board is None or board in row for board, row in zip(found, candidates, strict=True))

    def most(row: int, taken: frozenset[str]) -> int:
        if row == len(candidates):
            return 0
        return max(
            most(row + 1, taken),
            *(1 + most(row + 1, taken | {board}) for board in candidates[row] if board not in taken), 0,
        )  # fmt: skip

    assert len(chosen) == most(0, frozenset())


@dataclass
class Lab:
    """Plays a lab forward: everybody keeps their boards for their whole time."""

    boards: Boards
    accounts: dict[str, Account]
    waiting: list[Claim] = field(default_factory=list)
    active: list[tuple[float, Claim, tuple[str, ...]]] = field(default_factory=list)
    begun: dict[str, float] = field(default_factory=dict)

    def step(self, now: float) -> None:
        self.boards.now = now
        self.active = [entry for entry in self.active if entry[0] > now]
        for name, account in self.accounts.items():
            mine = [(claim, names) for _, claim, names in self.active if claim.project == name]
            account.held = Counter(self.boards.board_class(board) for _, names in mine for board in names)
            account.granted = {}
            for claim, _ in mine:
                last = account.granted.get(claim.priority, 0.0)
                account.granted[claim.priority] = max(last, self.begun[claim.id])
        for claim, names in schedule(self.waiting, self.accounts, self.boards, now):
            self.begun[claim.id] = now
            self.active.append((now + claim.ttl, claim, names))
            for name in names:
                assert self.boards.free_at[name] <= now
                self.boards.free_at[name] = now + claim.ttl + self.boards.wiping
        self.waiting = [claim for claim in self.waiting if claim.id not in self.begun]


@pytest.mark.parametrize("rival", [{}, {"priority": 3}, {"project": "b"}])
@pytest.mark.parametrize("wants", [(PC,), (PC, PC, PC), (Want(board="pc-0"), PC)])
def test_nobody_starves(rival, wants):
    """Somebody low is served in time though others, small and more important, never stop coming."""
    lab = Lab(pcs(3), {"a": Account(), "b": Account(weight=5)})
    lab.accounts["a"].held = Counter()
    lab.waiting.append(ask("patient", *wants, created=0.0))
    now = 0.0
    for number in range(3000):
        now += 20.0
        lab.waiting.append(ask(f"r{number}", created=now - 10.0, ttl=60.0, **rival))
        lab.step(now)
        if "patient" in lab.begun:
            break
    assert lab.begun["patient"] <= 5 * LEVEL_SECONDS


def test_places_and_estimates():
    """Places count those ahead; estimates follow from ends and wipes that are known, else there is none."""
    boards = Boards({"pc-0": 50.0, "pc-1": 80.0, "arm-0": inf})
    claims = [
        ask("one", created=1),
        ask("two", created=2),
        ask("three", created=3),
        ask("arm", ARM, created=4),
    ]
    places = forecast(claims, {"a": Account()}, boards, 0.0)
    assert [tuple(places[name]) for name in ("one", "two", "three")] == [(1, 50.0), (2, 80.0), (3, 160.0)]
    assert places["arm"].expected is None


def test_an_estimate_goes_around_bookings():
    """What does not fit before a booking is expected after it; a booking is expected at its time."""
    boards = Boards({"pc-0": 50.0})
    claims = [ask("booked", start=100.0), ask("long", created=1), ask("short", created=2, ttl=20.0)]
    places = forecast(claims, {"a": Account()}, boards, 0.0)
    assert places["booked"] == (None, 100.0)
    assert places["long"] == (1, 210.0)


def test_over_quota_nobody_knows():
    """When a project will give something back is not for the lab to say."""
    places = forecast([ask("more")], {"a": Account(quotas={"pc": 1}, held=Counter(pc=1))}, pcs(1), 0.0)
    assert places["more"] == (1, None)


@given(
    st.lists(st.sampled_from([(PC,), (PC, PC), (PC, ARM), (ARM,)]), max_size=6),
    st.lists(st.sampled_from([0.0, 40.0, 90.0, inf]), min_size=4, max_size=4),
)
def test_an_estimate_is_when_it_comes_true(wishes, times):
    """If everybody stays to the end, everybody is served at the time that was told at the beginning."""
    boards = Boards(dict(zip(("pc-0", "pc-1", "pc-2", "arm-0"), times, strict=True)))
    claims = [ask(f"c{n}", *wants, created=n - 10.0) for n, wants in enumerate(wishes)]
    places = forecast(claims, {"a": Account()}, boards, 0.0)
    lab = Lab(Boards(dict(boards.free_at)), {"a": Account()}, list(claims))
    for now in range(0, 1200, 10):
        lab.step(float(now))
    for claim in claims:
        expected = places[claim.id].expected
        began = lab.begun.get(claim.id)
        assert (began is None) == (expected is None)
        if began is not None and expected is not None:
            assert began <= expected
