"""What the distribution measurement finds: seconds, and how busy the machine was meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """One transfer.

    Attributes:
        seconds: Until each receiver had it all.
        busy: Share of the machine's cores that was not idle until the last had.
        cpu: Seconds of a core that each receiver took, if that is known.
    """

    seconds: list[float]
    busy: float
    cpu: list[float] = field(default_factory=list)


class Clock:
    """Seconds from here on, and how busy the cores were."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self._before = cores_busy()
        self.busy = 0.0

    def stop(self) -> None:
        """Take down how busy the cores were until now."""
        spent, total = (after - before for after, before in zip(cores_busy(), self._before, strict=True))
        self.busy = spent / total if total else 0.0


def cores_busy() -> tuple[int, int]:
    """Return the ticks in which cores did something, and all."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # idle, and waiting for a disk
