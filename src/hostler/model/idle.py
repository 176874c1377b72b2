"""Whether a board that is held and on is used, and when it is switched off because it is not."""

from __future__ import annotations

from enum import StrEnum

NOTICE_SECONDS = 300.0
"""How long before a board is switched off its holder is told; a quarter of a limit below twenty minutes."""


class Idle(StrEnum):
    """What is to be done about a board that may be idle.

    Attributes:
        LEAVE: Nothing: it is used, or its holder was told and has time left.
        TELL: Its holder is to be told.
        SWITCH_OFF: It was idle for long enough, and its holder was told in time.
    """

    LEAVE = "leave"
    TELL = "tell"
    SWITCH_OFF = "switch-off"


def notice_seconds(limit: float) -> float:
    """Return how long before the end of a limit (in seconds) its holder is told."""
    return min(NOTICE_SECONDS, limit / 4)


def switches_off(used: float, limit: float, told: float) -> float:
    """Return the Unix time at which a board goes off: after its limit, and never without a whole notice."""
    return max(used + limit, told + notice_seconds(limit))


def idle(used: float, limit: float, told: float, now: float) -> Idle:
    """Decide about a board.

    Args:
        used: Unix time of the last sign of use.
        limit: Seconds without one after which it is switched off.
        told: Unix time its holder was told last, or 0; a notice before the last sign of use is void.
        now: Unix time.
    """
    if now < used + limit - notice_seconds(limit):
        return Idle.LEAVE
    if told < used:
        return Idle.TELL
    return Idle.LEAVE if now < switches_off(used, limit, told) else Idle.SWITCH_OFF
