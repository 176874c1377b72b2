"""Lengths of time as people write them."""

from __future__ import annotations

import math
import re
from typing import Any

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")


def seconds(value: Any) -> float:
    """Read ``90``, ``"90s"``, ``"10m"``, ``"2h"`` or ``"1d"``; raises ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    match = _PATTERN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not a length of time; write seconds, or for example 90s, 10m, 2h, 1d")
    return float(match[1]) * _UNITS[match[2]]
