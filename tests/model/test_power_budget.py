"""Watts and turns: never more than there is, first come first served, nobody forgotten."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hostler.model.power_budget import Go, Later, Never, PoolReading, PowerBudget, Wish


def budget(limit: float | None = 30.0, stagger: float = 0.0, **watts: float) -> PowerBudget:
    """Accounts of boards that were read off."""
    made = PowerBudget("switch sw1", limit, stagger)
    for board, need in watts.items():
        made = made.expects(Wish(f"{board}/0", need)).reads(f"{board}/0", on=False)
    return made


def granted(made: PowerBudget, outlet: str, now: float = 0.0) -> PowerBudget:
    made, answer = made.asks(outlet).turn(outlet, now)
    assert answer == Go()
    return made


def test_who_would_be_too_much_waits_and_is_told_for_what():
    """The reason names the watts needed, taken and there, and who has them."""
    made = granted(granted(budget(a=12, b=12, c=13), "a/0"), "b/0").asks("c/0")
    _, answer = made.turn("c/0", 0.0)
    assert answer == Later(None, "waits for 13 W on switch sw1: 24 of 30 W are taken by a, b")
    freed = made.ends("a/0", off=False).reads("a/0", on=False)
    assert freed.turn("c/0", 0.0)[1] == Go()


def test_a_small_one_does_not_overtake_a_large_one():
    """Strictly first come first served: else who needs much would wait for ever."""
    made = granted(budget(a=20, big=20, small=5), "a/0").asks("big/0").asks("small/0")
    _, answer = made.turn("small/0", 0.0)
    assert isinstance(answer, Later)
    assert answer.reason.endswith("taken by a; 1 before it")
    assert isinstance(made.leaves("big/0").turn("small/0", 0.0)[1], Go)


def test_more_than_there_is_in_all_is_refused_and_blocks_nobody():
    """A wish that can never be granted is an error, and who is behind it goes on."""
    made = budget(greedy=31, other=5).asks("greedy/0").asks("other/0")
    _, answer = made.turn("greedy/0", 0.0)
    assert isinstance(answer, Never)
    assert "greedy needs 31 W, but switch sw1 has 30 W in all" in answer.reason
    assert isinstance(made.leaves("greedy/0").turn("other/0", 0.0)[1], Go)


def test_two_are_switched_on_with_a_pause_between():
    """The pause counts from the last switch-on, and a place in line is as many pauses."""
    made = granted(budget(None, 2.0, a=0, b=0, c=0), "a/0", 100.0).asks("b/0").asks("c/0")
    assert made.turn("b/0", 100.5)[1] == Later(102.0, "waits its turn on switch sw1")
    assert made.turn("c/0", 100.5)[1] == Later(104.0, "waits its turn on switch sw1; 1 before it")
    made, answer = made.turn("b/0", 102.0)
    assert answer == Go()
    assert made.turn("c/0", 102.0)[1] == Later(104.0, "waits its turn on switch sw1")


def test_what_was_not_read_yet_counts_as_on():
    """After a restart nothing is granted before it is known what is on."""
    made = PowerBudget("sw1", 30.0).expects(Wish("a/0", 20.0)).expects(Wish("b/0", 20.0))
    made = made.reads("b/0", on=False).asks("b/0")
    assert isinstance(made.turn("b/0", 0.0)[1], Later)
    assert made.reads("a/0", on=False).turn("b/0", 0.0)[1] == Go()


def test_a_reading_in_mid_switch_frees_nothing():
    """A port that is being enabled reads off for seconds; its watts are taken all the same."""
    made = granted(budget(a=20, b=20), "a/0").reads("a/0", on=False).asks("b/0")
    assert isinstance(made.turn("b/0", 0.0)[1], Later)
    assert made.ends("a/0", off=True).turn("b/0", 0.0)[1] == Go()


def test_what_the_equipment_says_counts_too():
    """Its own limit binds too, and foreign loads show in what it draws."""
    reading = PoolReading(limit=40.0, drawn=35.0)
    made = budget(None, a=10).measured("", reading).asks("a/0")
    assert made.turn("a/0", 0.0)[1] == Later(None, "waits for 10 W on switch sw1: 35 of 40 W are drawn")
    assert made.measured("", replace(reading, drawn=30.0)).turn("a/0", 0.0)[1] == Go()
    assert isinstance(budget(None, a=41).measured("", reading).asks("a/0").turn("a/0", 0.0)[1], Never)


def test_members_of_a_stack_have_watts_of_their_own():
    """What is taken on one member is not taken on another; the declared limit is for all together."""
    made = PowerBudget("stack", 100.0)
    for board, pool in (("a", "1"), ("b", "1"), ("c", "2")):
        made = made.expects(Wish(f"{board}/0", 20.0, pool)).reads(f"{board}/0", on=False)
        made = made.measured(pool, PoolReading(limit=30.0))
    made = granted(made, "a/0")
    assert isinstance(made.asks("b/0").turn("b/0", 0.0)[1], Later)
    assert isinstance(made.asks("c/0").turn("c/0", 0.0)[1], Go)


def test_a_board_that_left_takes_nothing():
    """Out of the inventory, out of the accounts and out of the line."""
    made = granted(budget(a=20, b=20, c=20), "a/0").asks("b/0").asks("c/0")
    made = made.forgets("a/0").forgets("b/0")
    assert (made.watts(), made.line) == (0, ("c/0",))


LIMIT = 50.0
NEEDS = {f"b{n}/0": float(watts) for n, watts in enumerate((5, 10, 15, 20, 25, 30, 50))}


class Switch(RuleBasedStateMachine):
    """A switch whose boards come on, go off, fail and leave the line in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.made = PowerBudget("sw", LIMIT, 1.0)
        self.on: set[str] = set()
        self.switching: set[str] = set()
        self.asked: list[str] = []
        self.last = -1.0
        for outlet, watts in NEEDS.items():
            self.made = self.made.expects(Wish(outlet, watts)).reads(outlet, on=False)

    outlets = st.sampled_from(sorted(NEEDS))

    @rule(outlet=outlets)
    def ask(self, outlet: str) -> None:
        if outlet not in self.on | self.switching and outlet not in self.asked:
            self.asked.append(outlet)
            self.made = self.made.asks(outlet)

    @rule(outlet=outlets)
    def leave(self, outlet: str) -> None:
        self.made = self.made.leaves(outlet)
        self.asked = [name for name in self.asked if name != outlet]

    @rule(outlet=outlets)
    def read(self, outlet: str) -> None:
        self.made = self.made.reads(outlet, on=outlet in self.on)

    @rule(outlet=outlets, works=st.booleans())
    def finish(self, outlet: str, works: bool) -> None:
        if outlet in self.switching:
            self.switching.discard(outlet)
            if works:
                self.on.add(outlet)
            self.made = self.made.ends(outlet, off=not works)

    @rule(outlet=outlets)
    def goes_off(self, outlet: str) -> None:
        if outlet in self.on:
            self.on.discard(outlet)
            self.made = self.made.reads(outlet, on=False)

    @rule(seconds=st.floats(0.1, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def try_one(self, data: st.DataObject) -> None:
        outlet = data.draw(st.sampled_from(self.asked))
        self.made, answer = self.made.turn(outlet, self.now)
        if isinstance(answer, Go):
            assert outlet == self.asked[0], "somebody was overtaken"
            assert self.now >= self.last + 1.0 or self.last < 0
            self.last = self.now
            self.asked.remove(outlet)
            self.switching.add(outlet)

    @precondition(lambda self: self.asked and not self.switching)
    @rule()
    def nobody_starves(self) -> None:
        """Once everything that is on has gone off, the first in line has its turn."""
        made = self.made
        for outlet in self.on:
            made = made.reads(outlet, on=False)
        assert isinstance(made.turn(self.asked[0], self.now + 1.0)[1], Go)

    @invariant()
    def never_above(self) -> None:
        assert sum(NEEDS[outlet] for outlet in self.on | self.switching) <= LIMIT


TestSwitch = Switch.TestCase
TestSwitch.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@given(st.lists(st.floats(1, 40), min_size=1, max_size=8))
def test_everybody_has_a_turn_in_the_order_of_asking(needs: list[float]):
    """If each goes off after its turn, all are served, and in order."""
    made = budget(40.0, **{f"b{n}": watts for n, watts in enumerate(needs)})
    for n in range(len(needs)):
        made = made.asks(f"b{n}/0")
    for n in range(len(needs)):
        made, answer = made.turn(f"b{n}/0", float(n))
        assert answer == Go()
        made = made.ends(f"b{n}/0", off=True)
    assert (made.line, made.watts()) == ((), 0)


@pytest.mark.parametrize("count", [1, 40])
def test_a_reason_stays_short(count: int):
    """Five boards are named, the others counted."""
    made = budget(100.0, **{f"b{n:02}": 100 / count for n in range(count)}, late=1)
    for n in range(count):
        made = granted(made, f"b{n:02}/0").ends(f"b{n:02}/0", off=False)
    _, answer = made.asks("late/0").turn("late/0", 0.0)
    assert isinstance(answer, Later)
    assert ("b04 and 35 more" in answer.reason) == (count == 40)
    assert len(answer.reason) < 110
