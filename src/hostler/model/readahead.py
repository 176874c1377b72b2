"""How far to fetch ahead of one reader of an image, and when not to."""

from __future__ import annotations

from collections import deque

FIRST = 4
"""Chunks ahead of a reader that has only begun."""
_REMEMBERED = 32
_DENSE = 0.5
"""Least share of the places in its latest stretch that a reader has asked for, to be reading on: several
connections ask a little out of order, and a disk that holds half of an image already wants the other half."""


class Readahead:
    """Watches the places one reader asks for.

    The window doubles with every place as long as it reads on, and closes when it jumps about: a board that
    has most of an image already asks for what differs, and all else would cross the link for nobody.

    Args:
        most: Largest window, in chunks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._window = 0
        self._fetched = 0  # behind the last place told
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)

    def asked(self, place: int) -> range:
        """Take the place of a chunk in its image and return the places to fetch ahead, the nearest first.

        Each is told once, as long as the reader goes on.
        """
        if place not in self._recent:
            self._recent.append(place)
        stretch = max(self._recent) - min(self._recent) + 1
        if len(self._recent) / stretch < _DENSE:
            self._window = self._fetched = 0
            if place != min(self._recent):
                # What lies far behind says nothing any more of where it goes on.
                near = [one for one in self._recent if abs(one - place) < _REMEMBERED]
                self._recent = deque(near, maxlen=_REMEMBERED)
            return range(0)
        self._window = min(max(FIRST, 2 * self._window), self._most)
        told, self._fetched = self._fetched, max(self._fetched, place + 1 + self._window)
        return range(max(told, max(self._recent) + 1), self._fetched)
