"""Listening to who asks for an address while something is tried."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.model.trace import TraceEvent


class Asked:
    """Who has asked for an address since the listening began.

    Attributes:
        at: When each MAC first did (monotonic).
    """

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def first(self, macs: tuple[str, ...]) -> float | None:
        """Return when the first of these MACs asked, or None."""
        return min((self.at[mac] for mac in macs if mac in self.at), default=None)


class Ears:
    """Hands what netboot hears to whoever listens at the moment."""

    def __init__(self) -> None:
        self._listening: set[Asked] = set()

    def hear(self, event: TraceEvent) -> None:
        """Take an event of netboot."""
        if event.source == "dhcp" and event.mac is not None:
            for asked in self._listening:
                asked.at.setdefault(event.mac, time.monotonic())

    @contextmanager
    def listen(self) -> Iterator[Asked]:
        """Listen from now until the block ends."""
        asked = Asked()
        self._listening.add(asked)
        try:
            yield asked
        finally:
            self._listening.discard(asked)
