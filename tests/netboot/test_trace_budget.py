"""Whoever asks too often is left out of the trace, and does not hide the others."""

from __future__ import annotations

from hostler.model.trace import TraceEvent
from hostler.netboot.trace_budget import WithinBudget


def event(at: float, board: str | None = None, **data: str) -> TraceEvent:
    return TraceEvent(at, "http", "missing", "no /x", board, data=dict(data))


def test_a_storm_of_requests_does_not_fill_the_trace():
    """A hundred thousand requests of one machine in a minute leave some hundred events, not as many."""
    for sender in ({"board": "b1"}, {}, {"client": "10.77.0.99"}):
        kept: list[TraceEvent] = []
        emit = WithinBudget(kept.append)
        for number in range(100_000):
            emit(event(number * 60 / 100_000, **sender))
        assert 40 <= len(kept) <= 600
        assert sum(int(str(one.data.get("left_out", 0))) for one in kept) + len(kept) > 90_000


def test_a_raving_machine_does_not_hide_another():
    """What a board tells is kept whole, whatever strangers and other boards do meanwhile."""
    kept: list[TraceEvent] = []
    emit = WithinBudget(kept.append)
    for number in range(50_000):
        emit(event(number / 1000, None, client=f"10.77.0.{number % 250}"))
        emit(event(number / 1000, "raving"))
        if number % 1000 == 0:
            emit(event(number / 1000, "calm"))
    assert sum(one.board == "calm" for one in kept) == 50
    assert sum(one.board is None for one in kept) < 1500
