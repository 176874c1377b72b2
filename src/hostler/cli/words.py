"""Sizes, times and states as people read them, and durations as they write them."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """Read ``90``, ``90s``, ``10m``, ``2h`` or ``1d`` as seconds; an argparse type."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f'"{text}" is no duration; write 90s, 10m, 2h or 1d')
    return float(match[1]) * _UNITS[match[2]]


_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def size(text: str) -> int:
    """Read ``8G`` or ``512Mi`` as bytes, the units as those of disks in hints; an argparse type."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:([KMGT])(i?))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f'"{text}" is no size; write 8G or 512Mi')
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2] or ""])


def seconds_text(seconds: float) -> str:
    """Return ``48 s``, ``12 min 3 s``, ``2 h 5 min`` or ``3 d 4 h``."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, last = divmod(rest, 60)
    named = [(days, "d"), (hours, "h"), (minutes, "min"), (last, "s")]
    while len(named) > 1 and not named[0][0]:
        named.pop(0)
    return " ".join(f"{value} {unit}" for value, unit in named[:2] if value or unit == "s")


def plain(text: str) -> str:
    """Return words that came over the network without what would speak to the terminal."""
    return "".join(sign if sign in "\n\t" or sign.isprintable() else "\ufffd" for sign in text)


def size_text(size: float) -> str:
    """Return a size in the decimal units disks are sold in."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit in ("B", "kB") or size >= 100 else f"{size:.1f} {unit}"


def moment(text: str | None) -> datetime | None:
    """Read a time of the API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def until(text: str | None) -> str:
    """Return how far ahead or back a time lies, or nothing."""
    then = moment(text)
    if then is None:
        return ""
    left = (then - datetime.now(UTC)).total_seconds()
    return f"in {seconds_text(left)}" if left >= 0 else f"{seconds_text(-left)} ago"


def local_time(text: str | None) -> str:
    """Return a time of the API in this machine's zone."""
    then = moment(text)
    return then.astimezone().strftime("%Y-%m-%d %H:%M:%S") if then else ""
