"""What a boot's trace tells of the power it draws."""

from __future__ import annotations

import pytest

from hostler.model.power import BOOT_SECONDS, PowerReading, PowerState, draws_otherwise


@pytest.mark.parametrize(
    ("told", "watts", "since", "news"),
    [
        (None, 3.2, 5.0, True),
        (None, None, 5.0, False),
        (3.2, 3.5, 5.0, False),  # less than half a watt
        (3.2, 4.4, 5.0, True),
        (80.0, 90.0, 5.0, False),  # less than a fifth
        (80.0, 120.0, 5.0, True),
        (3.2, 0.0, 5.0, True),
        (3.2, 9.9, BOOT_SECONDS + 1, False),  # it has long booted
    ],
)
def test_only_a_real_change_while_it_boots_is_told(
    told: float | None, watts: float | None, since: float, news: bool
) -> None:
    """A meter that flickers does not fill the trace, nor does a board that works for weeks."""
    assert draws_otherwise(told, PowerReading(PowerState.ON, watts), since) is news
