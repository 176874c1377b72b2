"""Durations, sizes and rates as people write and read them."""

from __future__ import annotations

import argparse

import pytest

from hostler.cli.progress import Rate
from hostler.cli.words import duration, seconds_text, size_text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129600)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """A number is seconds; s, m, h and d are its units."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2 h", "-1s", "1w", "1h30m"])
def test_other_durations_are_refused(text: str) -> None:
    """Anything else is a usage error."""
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (48.4, "48 s"), (60, "1 min 0 s"), (723, "12 min 3 s"), (7500, "2 h 5 min"), (86400, "1 d")],
)
def test_seconds_are_told_in_two_units(seconds: float, text: str) -> None:
    """Two units are enough for people."""
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (52_300_000, "52.3 MB"), (480_000_000, "480 MB"), (4e9, "4.0 GB")],
)
def test_sizes_are_decimal(size: float, text: str) -> None:
    """Sizes are told in the units disks are sold in."""
    assert size_text(size) == text


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A slow start is forgotten, and a phase that starts anew starts anew."""
    rate = Rate()
    for second in range(30):
        rate.add(second, second * 1_000_000 if second < 15 else 15_000_000 + (second - 15) * 50_000_000)
    assert rate.speed == pytest.approx(50e6, rel=0.05)
    assert rate.text(765_000_000).endswith("s left")
    rate.add(31, 0)
    assert rate.speed == 0
