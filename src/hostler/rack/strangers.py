"""Machines that ask over the network and that nobody knows: remembered, never touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostler.model.seam import Stranger

if TYPE_CHECKING:
    from hostler.model.trace import TraceEvent

_LIMIT = 1024
"""Strangers remembered at most: somebody else's whole office may share the wire."""

_TELL_SECONDS = 30.0
"""How often the same stranger is worth telling about again while nothing new is known of it."""

_OF_THE_MESSAGE = frozenset({"asking_seconds", "left_out"})
"""What is another each time a machine asks, and says nothing of the machine: no news."""


class Strangers:
    """What is known of machines outside the inventory, by MAC."""

    def __init__(self) -> None:
        self._known: dict[str, Stranger] = {}

    def note(self, event: TraceEvent) -> Stranger | None:
        """Take an event of a machine nobody knows; return the stranger when there is news to tell."""
        if event.board is not None or event.mac is None:
            return None
        if event.source != "dhcp" and (event.source, event.kind) != ("http", "stranger"):
            return None
        facts = {
            key: value
            for key, value in event.data.items()
            if key not in _OF_THE_MESSAGE and value not in (None, "", [])
        }
        old = self._known.get(event.mac)
        if old is None:
            if len(self._known) >= _LIMIT:
                return None
            merged: dict[str, Any] = facts
        else:
            merged = {**old.facts, **facts}
            if merged == old.facts and event.at - old.last < _TELL_SECONDS:
                return None
        network = str(merged.get("network", old.network if old else ""))
        stranger = Stranger(event.mac, network, merged, old.first if old else event.at, event.at)
        self._known[event.mac] = stranger
        return stranger

    def recent(self, since: float) -> frozenset[str]:
        """Return the MACs that asked after this Unix time."""
        return frozenset(mac for mac, stranger in self._known.items() if stranger.last >= since)

    def forget(self, mac: str) -> bool:
        """Forget a machine that is in the inventory now; True when it was known."""
        return self._known.pop(mac, None) is not None
