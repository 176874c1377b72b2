"""How much is written about clients that ask too often: a storm must not fill memory or hide the others."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.trace import TraceEvent

# A boot tells a few dozen things, one of a board that fails and asks again and again not many more.
_BOARD_BURST, _BOARD_RATE, _BOARDS = 200, 5, 65536
_STRANGER_BURST, _STRANGER_RATE, _STRANGERS = 40, 1, 4096
_STRANGERS_BURST, _STRANGERS_RATE = 400, 20


class _Bucket:
    """Tokens, when they were last counted, and how often there was none."""

    __slots__ = ("at", "missed", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.missed = 0

    def has_one(self, now: float, burst: float, rate: float) -> bool:
        self.tokens = min(burst, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        if self.tokens >= 1:
            return True
        self.missed += 1
        return False


class TraceBudget:
    """Lets ``burst`` messages of one sender into the trace at once, then ``rate`` a second.

    Args:
        burst: Messages of one sender at once.
        rate: And then in each second.
        senders: How many are remembered; the one longest silent is forgotten first.
        total_burst: Messages of all senders together at once; None for no such limit.
        total_rate: And then in each second.
    """

    def __init__(
        self,
        burst: float,
        rate: float,
        senders: int,
        total_burst: float | None = None,
        total_rate: float = 0.0,
    ) -> None:
        self._burst, self._rate, self._senders = burst, rate, senders
        self._total_burst, self._total_rate = total_burst, total_rate
        self._total = _Bucket(total_burst or 0.0, 0.0)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, sender: str, now: float) -> int | None:
        """Return None if the sender's message is one too many, else how many were left out before it."""
        total = self._total
        if self._total_burst is not None and not total.has_one(now, self._total_burst, self._total_rate):
            return None
        bucket = self._buckets.get(sender)
        if bucket is None:
            bucket = self._buckets[sender] = _Bucket(self._burst, now)
            if len(self._buckets) > self._senders:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(sender)
        if not bucket.has_one(now, self._burst, self._rate):
            return None
        bucket.tokens -= 1
        total.tokens -= 1
        missed, bucket.missed = bucket.missed, 0
        if self._total_burst is not None:
            missed, total.missed = missed + total.missed, 0
        return missed


class WithinBudget:
    """Hands on trace events, but not more than a boot needs: anybody on the wire can ask for anything.

    To be called in one thread only.

    Args:
        emit: Takes what is handed on.
    """

    def __init__(self, emit: Callable[[TraceEvent], None]) -> None:
        self._emit = emit
        self._boards = TraceBudget(_BOARD_BURST, _BOARD_RATE, _BOARDS)
        self._strangers = TraceBudget(
            _STRANGER_BURST, _STRANGER_RATE, _STRANGERS, _STRANGERS_BURST, _STRANGERS_RATE
        )

    def __call__(self, event: TraceEvent) -> None:
        """Hand on an event, or leave it out; the sender's next one tells how many were."""
        budget, sender = self._strangers, event.mac or str(event.data.get("client", ""))
        if event.board is not None:
            budget, sender = self._boards, event.board
        missed = budget.take(sender, event.at)
        if missed:
            event = dataclasses.replace(event, data={**event.data, "left_out": missed})
        if missed is not None:
            self._emit(event)
