"""Whether a board's supply reads what is wanted of it, since when not, and how often that may be mended."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hostler.model.power import PowerReading, PowerState

SETTLE_SECONDS = 15.0
"""A supply that reads otherwise for less than this is only slow: readings come every five seconds, and
switches take a few to enable a port and detect what hangs on it."""

MENDS = 5
"""How often a supply is switched that does not stay as it should; then somebody has to look at it."""

MEND_SECONDS = 10.0
"""Pause after the first mending; doubled with each, so that the five take two and a half minutes."""

STEADY_SECONDS = 60.0
"""After reading right for this long, what comes is a new trouble and not the old one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants of the supply; asking again, even for the same, is a new wish.

    Attributes:
        power: On or off.
        asked: How often it was asked for.
        cycles: How many cycles were asked for.
        run: The run that switched it last, or None.
    """

    power: PowerState = PowerState.OFF
    asked: int = 0
    cycles: int = 0
    run: str | None = None


NOTHING = Wanted()
"""Before anybody has asked."""


@dataclass(frozen=True, slots=True)
class Match:
    """How the readings compare with the wish.

    Attributes:
        wanted: The wish they were compared with.
        since: Unix time since when they differ, or None: they do not, or nobody can tell.
        right: Unix time since when they agree, or None.
        mends: How often it was switched for this wish without it having lasted.
        mended: Unix time of the last of these, or 0.
    """

    wanted: Wanted = NOTHING
    since: float | None = None
    right: float | None = None
    mends: int = 0
    mended: float = 0.0

    def looked(self, wanted: Wanted, reading: PowerReading, now: float, *, busy: bool) -> Match:
        """Compare a reading; ``busy``: something is switching it, and it says nothing."""
        match = self if wanted == self.wanted else Match(wanted)
        if busy:
            return replace(match, since=None, right=None)
        if reading.state is PowerState.UNKNOWN:
            return match
        if agrees(reading, wanted.power):
            return replace(match, since=None, right=now if match.right is None else match.right)
        lasted = match.right is not None and now >= match.right + STEADY_SECONDS
        return replace(
            match,
            since=now if match.since is None else match.since,
            right=None,
            mends=0 if lasted else match.mends,
        )

    def switched(self, now: float) -> Match:
        """Count one switching."""
        return replace(self, mends=self.mends + 1, mended=now)

    @property
    def given_up(self) -> bool:
        """Whether it was switched often enough."""
        return self.mends >= MENDS

    @property
    def next_mend(self) -> float:
        """Unix time from when it may be switched again."""
        return self.mended + MEND_SECONDS * 2 ** (self.mends - 1) if self.mends else 0.0

    @property
    def settled(self) -> float | None:
        """Unix time from when the difference counts as one, or None: there is none."""
        return None if self.since is None else self.since + SETTLE_SECONDS


UNCOMPARED = Match()
"""Before anybody has looked."""


def agrees(reading: PowerReading, wanted: PowerState) -> bool:
    """Tell whether a reading is what is wanted; a board that is partly on is not off yet."""
    return reading.state is wanted and not (wanted is PowerState.OFF and reading.partly)
