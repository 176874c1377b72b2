"""MACs that boards ask with and the inventory lacks: known by their UUID or by the port of a relay."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.trace import TraceEvent

_MOST = 4096


class StandIns:
    """What netboot found out about MACs since the rack started, the latest of them."""

    def __init__(self) -> None:
        self._boards: OrderedDict[str, str] = OrderedDict()

    def note(self, event: TraceEvent) -> None:
        """Take an event of netboot."""
        told = event.source == "dhcp" or event.kind == "identified"  # by HTTP, where iPXE says more
        if not told or event.mac is None or event.kind == "conflict":
            return
        if event.board is None:
            self._boards.pop(event.mac, None)
            return
        self._boards[event.mac] = event.board
        self._boards.move_to_end(event.mac)
        if len(self._boards) > _MOST:
            self._boards.popitem(last=False)

    @property
    def boards(self) -> Mapping[str, str]:
        """Boards by MAC."""
        return self._boards

    def macs(self, board: str) -> tuple[str, ...]:
        """Return the MACs a board was seen with."""
        return tuple(mac for mac, name in self._boards.items() if name == board)
