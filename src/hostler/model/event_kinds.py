"""Patterns of event kinds: ``claim.*``, ``*.failed``, ``run.succeeded``."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATTERN = re.compile(r"[a-z0-9_*?-]+(\.[a-z0-9_*?-]+)*")
_LONGEST = 64


def check_pattern(text: str) -> str:
    """Return a pattern; raises ValueError saying what one looks like when it is none."""
    if len(text) > _LONGEST or not _PATTERN.fullmatch(text):
        raise ValueError(f'"{text}" is no pattern of event kinds; write for example claim.* or run.failed')
    return text


def matches(kind: str, patterns: Iterable[str]) -> bool:
    """Tell whether any of the patterns fits a kind; ``*`` stands for any signs, ``?`` for one."""
    return any(fnmatchcase(kind, pattern) for pattern in patterns)
