"""How far is fetched ahead of a reader, and when not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.model.readahead import FIRST, Readahead


def test_who_reads_in_order_is_kept_ahead_of() -> None:
    """The window doubles up to its limit; every place is told once and none that was read."""
    ahead = Readahead(64)
    told: list[int] = []
    for place in range(200):
        now = list(ahead.asked(place))
        assert all(one > place for one in now)
        told += now
    assert len(told) == len(set(told))
    assert set(range(1, 200)) <= set(told)
    assert max(told) == 199 + 64
    assert list(Readahead(64).asked(10)) == list(range(11, 11 + FIRST))


def test_who_jumps_about_is_not() -> None:
    """Of a board that lacks one chunk in twenty nothing is fetched ahead but at its very first one."""
    ahead = Readahead(64)
    told = [len(ahead.asked(place)) for place in range(0, 2000, 20)]
    assert told[0] == FIRST
    assert not any(told[2:])


def test_who_jumps_once_is_followed_again() -> None:
    """After a leap, as over a part that the disk has, it is read on from there."""
    ahead = Readahead(64)
    for place in range(100):
        ahead.asked(place)
    told = [one for place in range(5000, 5100) for one in ahead.asked(place)]
    assert max(told) == 5099 + 64


@given(st.permutations(range(8)).flatmap(lambda order: st.tuples(st.just(order), st.integers(0, 20))))
def test_several_connections_ask_out_of_order(drawn: tuple[list[int], int]) -> None:
    """Whatever the order within eight at once is, what lies ahead comes in the end."""
    order, groups = drawn
    ahead = Readahead(32)
    told: set[int] = set()
    asked: set[int] = set()
    for group in range(groups + 1):
        for place in order:
            asked.add(8 * group + place)
            told |= set(ahead.asked(8 * group + place))
    assert 8 * (groups + 1) in told | asked or max(told | asked) >= 8 * (groups + 1)
