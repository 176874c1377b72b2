"""What changed since somebody last looked, whoever looks and however often."""

from __future__ import annotations

from collections import OrderedDict


class Changes:
    """Numbers every change of things with a name; of several of one thing only the last is kept."""

    def __init__(self) -> None:
        self.number = 0
        """Number of the last change."""
        self._last: OrderedDict[str, int] = OrderedDict()  # newest last

    def add(self, name: str) -> None:
        """Take down that it changed."""
        self.number += 1
        self._last[name] = self.number
        self._last.move_to_end(name)

    def since(self, number: int) -> list[str]:
        """Return what changed after a change, oldest change first."""
        names = []
        for name in reversed(self._last):
            if self._last[name] <= number:
                break
            names.append(name)
        return names[::-1]
