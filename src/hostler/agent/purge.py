"""Having a disk purge itself: the ways drives have, which of them to take, and the wait until it is done.

A purge reaches what no read or write does: blocks that flash keeps behind those that are addressed, and
sectors that were replaced. What addressed blocks read as afterwards is each drive's own affair, so ``wipe``
makes them zero and reads them back all the same.

Each family of drives has a module of its own (``wipe_nvme``, ``wipe_ata``, ``wipe_mmc``) that tells the
ways of one drive, best first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hostler.agent.work import CancelledError, StepError
from hostler.model.wipe import Effort, Sanitized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.agent.work import Work
    from hostler.model.disk_health import DiskHealth

QUICK_SECONDS = 180.0
"""Longest estimate of a drive that a quick wipe waits for."""
_LEAST_SECONDS = 600.0  # estimates are rounded, and a busy drive is slower
_UNKNOWN_SECONDS = 24 * 3600.0
_POLL_SECONDS = 1.0


class PurgeError(Exception):
    """The drive did not do it; the message says why. Another way may still work."""


class UnsafeError(StepError):
    """The drive is in a state in which it must not be used, and nothing the agent knows ends that."""

    cause = "disk-fault"


@dataclass(frozen=True, slots=True)
class Purge:
    """One way to purge a drive.

    Attributes:
        name: What it is called in the drive's standard.
        do: Does it, waits for its end; raises PurgeError or UnsafeError.
        sanitized: What it achieves.
        seconds: How long it takes by the drive's own estimate; None: it gives none.
        wears: Whether it erases all of the flash, which uses up one of some thousand times.
        everything: Whether it concerns every namespace of the drive.
        locks: Whether it sets a password, with which a loss of power leaves the drive locked.
    """

    name: str
    do: Callable[[Waiting], None]
    sanitized: Sanitized = Sanitized.PURGE
    seconds: float | None = None
    wears: bool = True
    everything: bool = False
    locks: bool = False


class Drive(Protocol):
    """A drive that may know ways to purge itself.

    Attributes:
        declined: Ways it does not have, may not take or that failed, and why.
        untouched: Parts of it that a wipe does not reach.
    """

    declined: list[str]
    untouched: list[str]

    def settle(self, wait: Waiting) -> None:
        """Bring to an end what an earlier wipe began and did not finish; raises UnsafeError."""
        ...

    def purges(self) -> Sequence[Purge]:
        """Return the ways it has, best first; those it has not, and why, are then in ``declined``."""
        ...

    def health(self) -> DiskHealth | None:
        """Return what it says of itself; None: nothing."""
        ...


class Waiting:
    """The wait for a drive, which ends when the step is cancelled or when it takes too long.

    Args:
        work: The step.
        size: Bytes that count as done when it is done.
        clock: Seconds of a clock that only goes forward.
        sleep: Waits so many seconds.
        piece_seconds: Longest time that a drive which purges itself in pieces may take for one.

    Attributes:
        piece_seconds: Likewise.
    """

    def __init__(
        self, work: Work, size: int, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep, piece_seconds: float = math.inf,
    ) -> None:  # fmt: skip
        self.piece_seconds = piece_seconds
        self._work = work
        self._size = size
        self._clock = clock
        self._sleep = sleep
        self._counted = 0

    def until(self, done: Callable[[], float | None], seconds: float | None, what: str) -> None:
        """Ask ``done`` every second until it returns None; until then it tells how much is done, 0 to 1.

        Args:
            done: Asks the drive.
            seconds: The drive's own estimate.
            what: What is waited for.

        Raises:
            UnsafeError: it takes much longer than the estimate; the drive is still at it.
        """
        longest = patience(seconds)
        end = self._clock() + longest
        while (share := done()) is not None:
            self.so_far(share)
            if self._clock() >= end:
                raise UnsafeError(f"{what} is not done after {longest:.0f} s, and the drive is still at it")
            self._sleep(_POLL_SECONDS)
            self.check()
        self.so_far(1.0)

    def so_far(self, share: float) -> None:
        """Count what is done, 0 to 1; it never goes back."""
        reached = round(self._size * min(max(share, 0.0), 1.0))
        if reached > self._counted:
            self._work.advance(reached - self._counted)
            self._counted = reached

    def check(self) -> None:
        """Raise CancelledError if the step is to end."""
        self._work.check()

    def say(self, text: str) -> None:
        """Put a line into the step's log."""
        self._work.say(text)


def patience(seconds: float | None) -> float:
    """Return how long to wait for a drive that gave this estimate."""
    return _UNKNOWN_SECONDS if seconds is None else max(_LEAST_SECONDS, 2 * seconds)


def permitted(purges: Sequence[Purge], effort: Effort) -> tuple[list[Purge], list[str]]:
    """Return the ways that may be taken, best first, and why others may not.

    A quick wipe is done often: it takes none that uses up flash, takes minutes or sets a password.
    """
    if effort is Effort.CLEAR:
        return [], [f"{purge.name}: only clearing was asked for" for purge in purges]
    if effort is not Effort.QUICK:
        return list(purges), []
    taken, left = [], []
    for purge in purges:
        if purge.locks:
            left.append(
                f"{purge.name}: sets a password, with which a power cut leaves the drive locked, and a quick "
                "wipe was asked for"
            )
        elif purge.wears:
            left.append(f"{purge.name}: uses up the flash, and a quick wipe was asked for")
        elif purge.seconds is None or purge.seconds > QUICK_SECONDS:
            told = "an unknown time" if purge.seconds is None else f"{purge.seconds:.0f} s"
            left.append(f"{purge.name}: takes {told}, and a quick wipe was asked for")
        else:
            taken.append(purge)
    return taken, left


def purge(drive: Drive, purges: Sequence[Purge], wait: Waiting) -> Purge | None:
    """Purge a drive by the first way that works; return it, or None if none did.

    Ways that fail are in ``declined`` afterwards.

    Raises:
        UnsafeError: the drive is left in a state in which it cannot be used.
        CancelledError: the step is to end.
    """
    for way in purges:
        wait.say(f"wipe: {way.name} begins" + (f", for about {way.seconds:.0f} s" if way.seconds else ""))
        try:
            way.do(wait)
        except (UnsafeError, CancelledError):
            raise
        except PurgeError as error:
            drive.declined.append(f"{way.name}: {error}")
            wait.say(f"wipe: {way.name} failed: {error}")
        else:
            wait.so_far(1.0)
            return way
    return None
