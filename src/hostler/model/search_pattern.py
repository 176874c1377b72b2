"""Patterns people search logs by: RE2's, whose time grows with the text only, whatever they write."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

_MEMORY_BYTES = 8 << 20
"""Most memory one pattern may take; a longer list of words than fits in it is no search for people."""


class SearchPatternError(ValueError):
    """Nothing can be searched for by this; the text says why."""


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a search pattern.

    Raises:
        SearchPatternError: It cannot be.
    """
    import re2  # heavy, and seldom needed

    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    try:
        found: re.Pattern[str] = re2.compile(pattern, options)  # type: ignore[no-untyped-call]  # has none
    except re2.error as error:
        said = error.args[0] if error.args else error
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        raise SearchPatternError(f'"{pattern}" is not a pattern (RE2): {text}') from error
    return found
