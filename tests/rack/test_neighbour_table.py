"""A lab with more boards than the kernel remembers is told before they boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostler.rack.neighbour_table import LIMIT_FILE, too_small

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("boards", "fit"), [(4, True), (1000, True), (1001, False), (5000, False)])
def test_more_boards_than_places_is_told_with_a_number_that_fits(
    tmp_path: Path, boards: int, fit: bool
) -> None:
    """What the advice says is enough for all of them, twice over."""
    (tmp_path / "limit").write_text("1024\n")
    found = too_small(boards, tmp_path / "limit")
    assert (found is None) == fit
    if found is not None:
        text, advice = found
        assert f"remembers 1024 neighbours, and there are {boards} boards" in text
        room = int(advice.partition("gc_thresh3=")[2].split()[0])
        assert room >= 2 * boards
        (tmp_path / "limit").write_text(str(room))
        assert too_small(boards, tmp_path / "limit") is None


def test_a_kernel_that_does_not_tell_is_not_blamed(tmp_path: Path) -> None:
    """In a container the file may be absent or unreadable."""
    assert too_small(5000, tmp_path / "absent") is None
    (tmp_path / "limit").write_text("many")
    assert too_small(5000, tmp_path / "limit") is None


def test_the_kernels_file_is_where_it_is_looked_for() -> None:
    """On the host itself; four boards always fit."""
    assert too_small(4) is None
    if LIMIT_FILE.exists():
        assert too_small(10_000_000) is not None
