"""How a build tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage in words, what is done and the total, in whatever unit the stage counts."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress nobody looks at."""
    _ = (stage, done, total)
