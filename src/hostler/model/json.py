"""The shape of everything that crosses a seam: plain JSON values."""

from __future__ import annotations

import json
import sys
from typing import TypeAlias, cast

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""Any JSON value."""

Document: TypeAlias = "dict[str, JSON]"
"""A JSON object."""

DEEPEST = 32
"""How far values may lie within each other in an object from outside; what an agent sends is 5 deep."""

LARGEST = 2**63 - 1
"""The largest whole number in an object from outside: what a database and other languages take."""


def count(value: object) -> int:
    """Return how many of something there are, as somebody we do not trust told: from 0 to ``LARGEST``.

    It is total: what is no whole number counts as 0.
    """
    return max(0, min(value, LARGEST)) if isinstance(value, int) and not isinstance(value, bool) else 0


def foreign_object(raw: bytes) -> Document:
    """Read a JSON object that comes from somebody we do not trust.

    Every reader and writer behind this one can take what it returns: Python's own reader also lets through
    numbers without end, halves of characters, and lists too deep for others.

    Raises:
        ValueError: It is no JSON object, or one that somebody behind could not take.
    """
    try:
        document = json.loads(raw, parse_constant=_refuse)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for a caller
        _check(cast("JSON", document), DEEPEST)
    except RecursionError:
        raise ValueError("values lie too deep within each other") from None
    return cast("Document", document)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(value: JSON, deeper: int) -> None:
    if isinstance(value, str):
        value.encode()  # UnicodeEncodeError is a ValueError
    elif isinstance(value, (int, float)):
        if abs(value) > (LARGEST if isinstance(value, int) else sys.float_info.max):
            raise ValueError("a number is too large")
    elif isinstance(value, (dict, list)):
        if not deeper:
            raise ValueError("values lie too deep within each other")
        if isinstance(value, dict):
            for key in value:
                key.encode()
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, deeper - 1)
