"""When something is due next, without looking at all that might be."""

from __future__ import annotations

import heapq
from math import inf


class Timetable:
    """One moment for each key; setting it again replaces it."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def put(self, key: str, time: float | None) -> None:
        """Let a key be due at a Unix time, or never (None)."""
        if time is None:
            self._times.pop(key, None)
        elif self._times.get(key) != time:
            self._times[key] = time
            heapq.heappush(self._heap, (time, key))

    def take(self, now: float) -> list[str]:
        """Take out every key that is due, the earliest first."""
        due = []
        while self.next() <= now:
            _, key = heapq.heappop(self._heap)
            del self._times[key]
            due.append(key)
        return due

    def next(self) -> float:
        """Return when the next key is due; infinity: none is."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # replaced since
        return self._heap[0][0] if self._heap else inf
