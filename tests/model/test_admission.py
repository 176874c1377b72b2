"""Turns to fetch an image over a network."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.model.admission import SETTLE_SECONDS, SILENT_SECONDS, Admission

BEGIN = 100.0
NOW = BEGIN + SETTLE_SECONDS


def test_so_many_may_and_the_others_wait_in_their_order() -> None:
    """Who came first is next, whoever asks first when a turn is free."""
    turns = Admission(2, BEGIN)
    assert [turns.ask(board, 0, NOW) for board in ("a", "b", "c", "d")] == [0, 0, 1, 2]
    assert turns.ask("a", 0, NOW + 1) == 0
    turns.leave("b")
    assert turns.ask("d", 1, NOW + 1) == 2
    assert turns.ask("c", 1, NOW + 1) == 0
    assert turns.ask("d", 2, NOW + 2) == 1


def test_who_is_silent_loses_its_turn_and_its_place() -> None:
    """A board that was switched off holds up nobody for long."""
    turns = Admission(1, BEGIN)
    assert [turns.ask(board, 0, NOW) for board in ("a", "b", "c")] == [0, 1, 2]
    assert turns.ask("c", 10, NOW + 10) == 2
    turns.fetches("a", NOW + 10)
    assert turns.ask("c", 20, NOW + SILENT_SECONDS + 1) == 1  # b is gone, a fetches
    assert turns.ask("c", 30, NOW + 2 * SILENT_SECONDS) == 0


def test_a_restart_changes_nothing() -> None:
    """Who fetches shows itself, and who has waited longest is next; nobody comes in between."""
    turns = Admission(1, BEGIN)
    assert turns.ask("new", 0, BEGIN + 0.1) == 1
    assert turns.ask("short", 20, BEGIN + 0.2) == 1
    assert turns.ask("long", 300, BEGIN + 0.3) == 1
    turns.fetches("a", BEGIN + 0.4)
    assert [turns.ask(board, 0, NOW) for board in ("new", "short", "long")] == [3, 2, 1]
    turns.leave("a")
    assert turns.ask("new", 5, NOW + 1) == 3
    assert turns.ask("long", 305, NOW + 1) == 0


@settings(max_examples=100, deadline=None)
@given(
    most=st.integers(1, 5),
    steps=st.lists(st.tuples(st.sampled_from("aldn"), st.integers(0, 9)), max_size=120),
)
def test_never_more_than_so_many_are_let_in_and_everybody_is_in_the_end(
    most: int, steps: list[tuple[str, int]]
) -> None:
    """Whatever boards do, in whatever order: ask, leave, vanish."""
    turns = Admission(most, BEGIN)
    now, fetching = NOW, dict[str, float]()
    for what, number in steps:
        board = str(number)
        now += SILENT_SECONDS / 4 if what == "n" else 0.01
        fetching = {one: at for one, at in fetching.items() if at >= now - SILENT_SECONDS}
        if what == "a" and turns.ask(board, 0, now) == 0:
            fetching[board] = now
        elif what == "l":
            turns.leave(board)
            fetching.pop(board, None)
        assert len(fetching) <= most
    waiting = [str(number) for number in range(10)]
    for _ in range(20):
        now += 1
        waiting = [board for board in waiting if turns.ask(board, 0, now) != 0 or turns.leave(board)]
    assert not waiting
