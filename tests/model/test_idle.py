"""When a board that nobody uses is switched off."""

from hypothesis import given
from hypothesis import strategies as st

from hostler.model.idle import Idle, idle, notice_seconds, switches_off

LIMIT = 3600.0


def test_the_holder_is_told_and_a_while_later_it_goes_off():
    """Used, told, given its time, off."""
    used = 1000.0
    tell = used + LIMIT - notice_seconds(LIMIT)
    assert idle(used, LIMIT, 0.0, tell - 1) is Idle.LEAVE
    assert idle(used, LIMIT, 0.0, tell) is Idle.TELL
    assert idle(used, LIMIT, tell, used + LIMIT - 1) is Idle.LEAVE
    assert idle(used, LIMIT, tell, used + LIMIT) is Idle.SWITCH_OFF


def test_use_after_the_notice_makes_it_void():
    """Who comes back is not switched off, and is told again the next time."""
    used = 5000.0
    assert idle(used, LIMIT, 4000.0, used + 1) is Idle.LEAVE
    assert idle(used, LIMIT, 4000.0, used + LIMIT) is Idle.TELL


@given(used=st.floats(1, 1e9), limit=st.floats(300, 1e6), late=st.floats(0, 1e6))
def test_nobody_is_switched_off_without_a_whole_notice(used: float, limit: float, late: float):
    """However late the server looks, the notice is given first and kept."""
    told = used + limit - notice_seconds(limit) + late + 1
    assert idle(used, limit, 0.0, told) is Idle.TELL
    off = switches_off(used, limit, told)
    assert off >= told + notice_seconds(limit)
    assert idle(used, limit, told, off - 1) is Idle.LEAVE
    assert idle(used, limit, told, off) is Idle.SWITCH_OFF
