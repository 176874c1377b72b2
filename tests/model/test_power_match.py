"""Observed against desired power: when it counts as different, and how often it is mended."""

from hostler.model.power import PowerReading, PowerState
from hostler.model.power_match import (
    MEND_SECONDS,
    MENDS,
    STEADY_SECONDS,
    UNCOMPARED,
    Match,
    Wanted,
)

ON, OFF = PowerReading(PowerState.ON), PowerReading(PowerState.OFF)
UNKNOWN = PowerReading(PowerState.UNKNOWN)
WANTED = Wanted(PowerState.ON)


def looked(match: Match, reading: PowerReading, now: float, wanted: Wanted = WANTED) -> Match:
    return match.looked(wanted, reading, now, busy=False)


def test_it_differs_since_it_was_first_seen_to():
    """Later readings do not move the beginning, and an unreadable supply changes nothing."""
    match = looked(looked(looked(UNCOMPARED, OFF, 10), OFF, 20), UNKNOWN, 30)
    assert match.since == 10
    assert looked(match, ON, 40).since is None


def test_what_is_being_switched_differs_from_nothing():
    """While a run or a cycle has the board its readings are no news."""
    match = looked(UNCOMPARED, OFF, 10)
    assert match.looked(WANTED, OFF, 20, busy=True).since is None


def test_a_new_wish_begins_anew():
    """Asking again, even for the same, counts from now and has all its tries."""
    match = looked(UNCOMPARED, OFF, 10)
    for n in range(MENDS):
        match = match.switched(float(n))
    assert match.given_up
    again = looked(match, OFF, 50, Wanted(PowerState.ON, asked=1))
    assert (again.since, again.given_up) == (50, False)


def test_pauses_between_mendings_grow():
    """The first mending is at once; each pause is twice the one before."""
    match = looked(UNCOMPARED, OFF, 0)
    pauses = []
    for _ in range(MENDS - 1):
        match = match.switched(100.0)
        pauses.append(match.next_mend - 100.0)
    assert pauses == [MEND_SECONDS * 2**n for n in range(MENDS - 1)]


def test_a_board_that_flaps_is_not_new_each_time():
    """Reading right for a moment does not give a fresh set of tries; for a minute it does."""
    match = looked(UNCOMPARED, OFF, 0).switched(1).switched(2)
    flapping = looked(looked(match, ON, 3), OFF, 3 + STEADY_SECONDS - 1)
    assert flapping.mends == 2
    assert looked(looked(match, ON, 3), OFF, 3 + STEADY_SECONDS).mends == 0


def test_partly_on_is_not_off():
    """A board of which one wire is still on has something left to switch off."""
    partly = PowerReading(PowerState.OFF, partly=True)
    assert looked(UNCOMPARED, partly, 5, Wanted(PowerState.OFF)).since == 5
