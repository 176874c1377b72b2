"""Whether it pays to read what a disk holds before an image is written to it.

A disk that held a version of the same image needs only what differs, and reading is faster than fetching and
writing; a disk that holds something else is read for nothing. So a few chunks are read first, and from then
on the costs and the luck so far decide, for each extent anew: it is read if what it saves on average is
more than what it takes. While that is not so, one chunk of every sixteenth extent is read to see whether
it has changed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    T = TypeVar("T")

PROBE_EVERY = 16
_FEWEST_PROBES, _MOST_PROBES = 4, 64
_PROBES_SHARE = 100  # of all chunks; each costs a third of a chunk's writing, so together less than a percent
_MEMORY = 0.5  # how much the latest extent counts: what is equal on a disk lies together
_USUAL_COST = 0.3  # of looking, as a share of fetching and writing, before either was measured


class Looking:
    """The decision. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._equal = 0.0
        self._looks = _Kind()
        self._puts = _Kind()
        self._passed = 0

    def began(self, equal: int, of: int) -> None:
        """Take in what the first probes found."""
        self._equal = equal / of if of else 0.0

    def worth(self) -> bool:
        """Tell whether the next extent is to be read."""
        with self._lock:
            return self._equal > self._relative_cost()

    def probe(self) -> bool:
        """Tell whether one chunk of an extent that is not worth it is to be read all the same."""
        with self._lock:
            self._passed += 1
            return self._passed % PROBE_EVERY == 0

    def begin_look(self, now: float) -> None:
        """Take in that a thread begins to read, at this time in seconds of a clock that only goes forward."""
        with self._lock:
            self._looks.begin(now)

    def looked(self, equal: int, length: int, now: float) -> None:
        """Take in that it has ended, and that ``equal`` of ``length`` bytes were as they should be."""
        with self._lock:
            self._equal += _MEMORY * (equal / length - self._equal)
            self._looks.end(length, now)

    def begin_put(self, now: float) -> None:
        """Take in that a thread begins to fetch and write."""
        with self._lock:
            self._puts.begin(now)

    def put(self, length: int, now: float) -> None:
        """Take in that it has ended."""
        with self._lock:
            self._puts.end(length, now)

    def _relative_cost(self) -> float:
        if not self._looks.bytes or not self._puts.bytes:
            return _USUAL_COST
        return self._looks.cost / self._puts.cost


class _Kind:
    """One kind of work: its bytes, and the time in which at least one thread did it.

    The time of each thread would count the disk as often as threads share it.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._busy = 0.0
        self._active = 0
        self._since = 0.0

    def begin(self, now: float) -> None:
        if not self._active:
            self._since = now
        self._active += 1

    def end(self, length: int, now: float) -> None:
        self.bytes += length
        self._active -= 1
        self._busy += now - self._since
        self._since = now

    @property
    def cost(self) -> float:
        """Seconds a byte."""
        return max(self._busy, 1e-9) / self.bytes


def probes(chunks: Sequence[T]) -> list[T]:
    """Return the few of all chunks that are to be read first, spread over the image."""
    count = min(len(chunks), max(_FEWEST_PROBES, min(_MOST_PROBES, len(chunks) // _PROBES_SHARE)))
    return [chunks[(2 * number + 1) * len(chunks) // (2 * count)] for number in range(count)]
