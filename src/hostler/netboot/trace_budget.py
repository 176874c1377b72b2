"""How much is written about clients that ask too often: a storm must not fill memory or hide the others."""

from __future__ import annotations

from collections import OrderedDict


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
