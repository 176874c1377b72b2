"""Notice that the clock was set: nobody's time is over because the host learnt what day it is."""

from __future__ import annotations

from dataclasses import dataclass

JUMP_SECONDS = 300.0
"""Smaller steps are a clock kept in order, and cost nobody more than they are."""


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock moved otherwise than time did.

    Attributes:
        before: Unix time it would show, had it not been set.
        seconds: How far it was set forward; negative: back.
    """

    before: float
    seconds: float


class JumpWatch:
    """Compares the wall clock with the monotonic one from look to look.

    Args:
        wall: Unix time now.
        monotonic: Monotonic time now, in seconds.
    """

    def __init__(self, wall: float, monotonic: float) -> None:
        self._offset = wall - monotonic

    def look(self, wall: float, monotonic: float) -> Jump | None:
        """Return the jump since the last look, if there was one."""
        before = self._offset + monotonic
        if abs(wall - before) < JUMP_SECONDS:
            return None
        self._offset = wall - monotonic
        return Jump(before, wall - before)
