"""The frames a board keeps in memory to give them to others.

They are not read back from the disk: that is what all boards wait for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

SHARE = 3
"""What part of the free memory they may have: nothing else on the board needs much of it meanwhile."""
_LEAST = 16 << 20
_MEMINFO = Path("/proc/meminfo")


class Frames:
    """Frames by the number of their chunk; the oldest go first. Safe to use from any thread.

    Args:
        most: Bytes of all together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def put(self, number: int, frame: bytes) -> list[int]:
        """Keep a frame; return the numbers of those that had to go for it."""
        gone: list[int] = []
        with self._lock:
            if number not in self._frames:
                self._frames[number] = frame
                self._bytes += len(frame)
            while self._bytes > self._most:
                oldest, dropped = self._frames.popitem(last=False)
                self._bytes -= len(dropped)
                gone.append(oldest)
        return gone

    def get(self, number: int) -> bytes | None:
        """Return a frame; None: it is not kept."""
        with self._lock:
            return self._frames.get(number)

    def numbers(self) -> list[int]:
        """Return the numbers of all that are kept."""
        with self._lock:
            return list(self._frames)


def room(meminfo: Path = _MEMINFO) -> int:
    """Return how many bytes of frames this board may keep."""
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return max(_LEAST, int(value.split()[0]) * 1024 // SHARE)
    return _LEAST
