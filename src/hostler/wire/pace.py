"""Sending at a rate."""

from __future__ import annotations

CREDIT = 512 * 1024
"""Bytes that may be caught up, for whoever sleeps until its next send wakes up a little late each time: what
the buffers of a small switch hold."""


class Pace:
    """The time at which what comes next may leave.

    Args:
        bits: Bits a second.
    """

    def __init__(self, bits: float) -> None:
        self.bits = bits
        self._free = 0.0

    def delay(self, size: int, now: float) -> float:
        """Return how many seconds to wait before ``size`` bytes may leave, and count them as sent then."""
        begin = max(now - CREDIT * 8 / self.bits, self._free)
        self._free = begin + size * 8 / self.bits
        return max(0.0, begin - now)

    def behind(self, now: float) -> float:
        """Return how many seconds something would have to wait now."""
        return max(0.0, self._free - now)
