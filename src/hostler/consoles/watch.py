"""Waiting for words on a console, wherever the pieces of the stream happen to be cut."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_MATCH = 4096
LONGEST_PATTERN = 500


class PatternError(ValueError):
    """The pattern is no regular expression, or too long; the message says where."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was waited for.

    Attributes:
        at: Unix time.
        text: The bytes that matched, at most ``LONGEST_MATCH``.
    """

    at: float
    text: bytes


class Watch:
    """Waits for the first match of a regular expression; use as a context manager so that it is forgotten.

    Args:
        pattern: Regular expression over raw bytes; ``^`` and ``$`` match at lines.
        forget: Called when the watch is left.

    Raises:
        PatternError: It cannot be compiled.
    """

    def __init__(self, pattern: bytes, forget: Callable[[Watch], None]) -> None:
        if len(pattern) > LONGEST_PATTERN:
            raise PatternError(f"the pattern has {len(pattern)} bytes, {LONGEST_PATTERN} are allowed")
        try:
            self._pattern = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise PatternError(f"{pattern!r}: {error}") from error
        self._forget = forget
        self._tail = b""
        self._happened = asyncio.Event()
        self.seen: Seen | None = None
        """The match, once there was one."""

    def feed(self, data: bytes, now: float) -> None:
        """Take what the board said."""
        if self.seen is not None:
            return
        text = self._tail + data
        match = self._pattern.search(text)
        if match:
            self.seen = Seen(now, match[0][:LONGEST_MATCH])
            self._tail = b""
            self._happened.set()
        else:
            self._tail = text[-LONGEST_MATCH:]

    async def wait(self, seconds: float) -> Seen:
        """Return the match.

        Raises:
            TimeoutError: None came within ``seconds``.
        """
        async with asyncio.timeout(seconds):
            await self._happened.wait()
        assert self.seen is not None
        return self.seen

    def close(self) -> None:
        """Stop watching."""
        self._forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
