"""Which part of a file somebody wants (RFC 9110 §14)."""

from __future__ import annotations

import re

_ONE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class UnsatisfiableError(Exception):
    """The part lies beyond the end."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte wanted and the one after the last, or None: all of it.

    What is not one range of bytes is not understood, and as good as absent (§14.2).

    Raises:
        UnsatisfiableError: there is nothing at that place.
    """
    match = _ONE.fullmatch((header or "").strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":  # the last so many bytes
        count = int(match[2])
        if count == 0 or size == 0:
            raise UnsatisfiableError
        return max(0, size - count), size
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if match[2] and int(match[2]) < start:
        return None
    if start >= size:
        raise UnsatisfiableError
    return start, end
