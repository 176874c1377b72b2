"""Which bytes of a disk hold something: ranges in ascending order."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Ranges:
    """Ranges of bytes; those that touch or overlap become one.

    Args:
        found: First byte and first byte behind, in any order.
    """

    def __init__(self, found: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(found):
            if end <= start:
                continue
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    @property
    def bytes(self) -> int:
        """How many bytes they have together."""
        return sum(self._ends) - sum(self._starts)

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts that lie between two places."""
        at = max(0, bisect_right(self._starts, start) - 1)
        while at < len(self._starts) and self._starts[at] < end:
            first, last = max(start, self._starts[at]), min(end, self._ends[at])
            if first < last:
                yield first, last
            at += 1

    def between(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts between two places that are in none of the ranges."""
        at = start
        for first, last in self.within(start, end):
            if first > at:
                yield at, first
            at = last
        if at < end:
            yield at, end

    def cells(self, width: int) -> Iterator[int]:
        """Yield the numbers of the cells of a grid in which something lies, ascending."""
        last = -1
        for start, end in zip(self._starts, self._ends, strict=True):
            for number in range(max(last + 1, start // width), -(-end // width)):
                yield number
                last = number
