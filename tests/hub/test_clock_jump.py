"""A clock that is set is told from time that passes."""

from hostler.hub.clock_jump import JUMP_SECONDS, Jump, JumpWatch


def test_time_that_passes_is_no_jump():
    """However long nobody looked, both clocks moved alike; a small step is none either."""
    watch = JumpWatch(1000.0, 5.0)
    assert watch.look(1000.0 + 86400, 5.0 + 86400) is None
    assert watch.look(1000.0 + 86400 + JUMP_SECONDS - 1, 5.0 + 86400) is None


def test_a_jump_is_told_once_either_way():
    """Forward or back, by how much and from where; after that the new clock is the right one."""
    watch = JumpWatch(1000.0, 5.0)
    assert watch.look(9010.0, 15.0) == Jump(1010.0, 8000.0)
    assert watch.look(9011.0, 16.0) is None
    assert watch.look(1012.0, 17.0) == Jump(9012.0, -8000.0)
