"""Amounts of data as people write them."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {unit: 1000**power for power, unit in enumerate(("", "k", "M", "G", "T"))}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate(("K", "M", "G", "T"), 1)}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]|[KMGT]i|)B?")


def byte_size(value: Any) -> int:
    """Read ``1000``, ``"500G"`` (of a thousand) or ``"2TiB"`` (of 1024); raises ValueError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _PATTERN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not an amount of data; write bytes, or for example 500G, 2T, 1.5TiB")
    return int(float(match[1]) * _UNITS[match[2]])
