"""Ranges of bytes in use, against sets of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.agent.ranges import Ranges
from hostler.agent.used_space import used_ranges

PLACES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


@given(PLACES, st.integers(0, 60), st.integers(0, 60), st.integers(1, 9))
def test_ranges_are_the_bytes_in_them(found: list[tuple[int, int]], start: int, end: int, width: int) -> None:
    """Whatever overlaps: the parts within and between two places, and the cells, are those of the bytes."""
    ranges = Ranges(found)
    held = {byte for first, last in found for byte in range(first, last)}
    within = {byte for first, last in ranges.within(start, end) for byte in range(first, last)}
    between = {byte for first, last in ranges.between(start, end) for byte in range(first, last)}
    assert ranges.bytes == len(held)
    assert within == held & set(range(start, end))
    assert between == set(range(start, end)) - held
    assert list(ranges.cells(width)) == sorted({byte // width for byte in held})


HEAD = "# Domain logfile\n0x00001000     ?\n"


def test_a_map_is_read_as_ddrescue_has_it() -> None:
    """Used stretches, and what lies behind the file system, which it says nothing of."""
    log = HEAD + "0x0 0x400 +\n0x400 0x400 ?\n0x800 0x400 +\n"
    assert used_ranges(log, 0x1000) == ((0, 0x400), (0x800, 0xC00), (0xC00, 0x1000))


@pytest.mark.parametrize(
    "log", ["", HEAD, HEAD + "0x0 0x400 ?\n", HEAD + "0x100 0x400 +\n", HEAD + "0x0 x +\n"]
)
def test_a_map_that_leaves_something_open_is_none(log: str) -> None:
    """Then the volume is taken whole: no byte is left out for want of a line."""
    with pytest.raises(ValueError, match=r"."):
        used_ranges(log, 0x1000)
