"""How fast a multicast carousel sends: up slowly while nothing is lost, down quickly when most lose.

The median listener decides: one on a bad cable, or ten times slower than the others, holds up nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY = 0.5
"""Seconds between two changes: listeners tell as often."""
_TOLERATED = 0.02  # a bad link loses this much at any rate, and slower would not help it
_FIRST_UP, _UP, _DOWN = 2.0, 1.1, 0.7  # as TCP begins: quickly until the first loss shows where the end is
_FIRST = 100e6
_LEAST = 20e6  # slower than this HTTP would be quicker, even for all of them


class Rate:
    """Bits a second, and the time at which the next datagrams may leave.

    Args:
        most: Never more than this, in bits a second.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self.bits = min(most, _FIRST)
        self._changed = 0.0
        self._up = _FIRST_UP
        self._free = 0.0

    def adapt(self, losses: Sequence[float], now: float) -> None:
        """Take in what share each listener loses, in ascending order; at most once in ``EVERY`` seconds."""
        if not losses or now < self._changed + EVERY:
            return
        self._changed = now
        loss = losses[(len(losses) - 1) // 2]  # of two, the better: the other may have a bad cable
        if loss > _TOLERATED:
            self._up = _UP
        factor = _DOWN if loss > _TOLERATED else self._up
        self.bits = max(min(_LEAST, self._most), min(self._most, self.bits * factor))

    def limit(self, most: float) -> None:
        """Never go beyond this from now on, in bits a second."""
        self._most = most
        self.bits = min(self.bits, most)

    def delay(self, size: int, now: float) -> float:
        """Return how long to wait before ``size`` bytes may leave, and count them as sent then."""
        begin = max(now, self._free)
        self._free = begin + size * 8 / self.bits
        return begin - now
