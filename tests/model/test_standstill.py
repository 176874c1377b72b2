"""A step that goes on and does not come forward."""

from __future__ import annotations

from hostler.model.standstill import STUCK_SECONDS, Standstill


def test_it_is_told_once_and_when_it_goes_on() -> None:
    """Nothing before its time; then how far it is and for how long; then that it goes on."""
    step = Standstill()
    assert step.note("write", 400, 1000, 10.0) is None
    assert step.note("write", 400, 1000, 9.0 + STUCK_SECONDS) is None
    told = step.note("write", 400, 1000, 10.0 + STUCK_SECONDS)
    assert told is not None
    assert told[0] == "stuck"
    assert "120 s" in told[1]
    assert "40 %" in told[1]
    assert step.note("write", 400, 1000, 90.0 + STUCK_SECONDS) is None
    moves = step.note("write", 401, 1000, 100.0 + STUCK_SECONDS)
    assert moves is not None
    assert moves[0] == "moves"
    assert step.note("write", 402, 1000, 101.0 + STUCK_SECONDS) is None


def test_another_phase_begins_anew() -> None:
    """Reading back begins at nothing, which is no standstill of what was written."""
    step = Standstill()
    assert step.note("write", 0, 0, 0.0) is None
    assert step.note("write", 0, 0, STUCK_SECONDS) is not None
    assert step.note("verify", 0, 1000, STUCK_SECONDS + 1) is None
    assert step.note("verify", 0, 1000, 2 * STUCK_SECONDS) is None
