"""The life of a board is a table, and only what it allows happens."""

import pytest

from hostler.model.board import MOVES, IllegalMoveError, Lifecycle, move


def test_every_lifecycle_has_a_row():
    """The table is total."""
    assert set(MOVES) == set(Lifecycle)


def test_a_board_comes_back_only_through_a_release():
    """Nothing that may be dirty becomes available without being wiped."""
    into_available = {state for state, allowed in MOVES.items() if Lifecycle.AVAILABLE in allowed}
    assert into_available == {Lifecycle.RELEASING, Lifecycle.DISCOVERED}


def test_an_illegal_move_names_the_board_and_what_is_allowed():
    """The error says where the board is and where it may go."""
    with pytest.raises(IllegalMoveError, match=r'board "b1" is claimed .* may become releasing'):
        move("b1", Lifecycle.CLAIMED, Lifecycle.AVAILABLE)
