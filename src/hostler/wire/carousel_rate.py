"""How fast a multicast carousel sends: as fast as it is let, and slower as soon as most listeners lose.

The median listener decides: one on a bad cable, or ten times slower than the others, holds up nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.wire.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY = 0.5
"""Seconds between two changes: listeners tell as often."""
_TOLERATED = 0.02  # a bad link loses this much at any rate, and slower would not help it
_UP = 1.1
_MARGIN = 0.95  # of what arrived: the queue before the narrow place is full and must drain
_SETTLE = 2 * EVERY  # after a fall: what is told meanwhile is of the time before it
_LEAST = 20e6  # slower than this HTTP would be quicker, even for all of them


class Rate(Pace):
    """A pace that follows what the listeners lose.

    Args:
        most: Where it begins and never more than this, in bits a second: who wrote it into ``lab.toml`` knows
            the network, and one that is narrower shows with the first reports.
    """

    def __init__(self, most: float) -> None:
        super().__init__(most)
        self._most = most
        self._changed = 0.0
        self._settled = 0.0

    def adapt(self, losses: Sequence[float], now: float) -> None:
        """Take in what share each listener loses, in ascending order; at most once in ``EVERY`` seconds."""
        if not losses or now < max(self._changed + EVERY, self._settled):
            return
        self._changed = now
        loss = losses[(len(losses) - 1) // 2]  # of two, the better: the other may have a bad cable
        factor = _UP
        if loss > _TOLERATED:
            factor = _MARGIN * (1 - loss)  # so much arrived
            self._settled = now + _SETTLE
        self.bits = max(min(_LEAST, self._most), min(self._most, self.bits * factor))

    def limit(self, most: float) -> None:
        """Never go beyond this from now on, in bits a second."""
        self._most = most
        self.bits = min(self.bits, most)
