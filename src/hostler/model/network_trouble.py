"""What is wrong with a board's network, read from what was heard of its boot: plain words and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hostler.model.json import JSON
    from hostler.model.trace import TraceEvent

LATE_SECONDS: Final = 3
"""Who has asked this long lost a question: PXE, iPXE, EDK2 and udhcpc repeat theirs after 1 to 4 s."""

# U-Boot counts from its own start, a Raspberry Pi not at all.
_CLOCKS_OF_THEIR_OWN = frozenset({"u-boot", "raspberry-pi"})
_IPXE_FIRST: Final = 4
"""What iPXE says in its very first question: it counts its questions, by four."""
_ASKED = frozenset({"discover", "request", "heard"})


def seconds_asking(secs: int) -> int:
    """Return what the field ``secs`` of a DHCP message says (RFC 2131 section 2).

    Some clients write it in the wrong byte order; ISC dhcpd and dnsmasq know them by a low byte of zero.
    """
    return secs >> 8 if secs > 255 and secs & 255 == 0 else secs


@dataclass(slots=True)
class _Boot:
    """What is known of a board since its power was switched on.

    Attributes:
        on: Unix time of that.
        heard: Whether it was heard on the network since.
        told: Kinds of trouble that were told since.
    """

    on: float
    heard: bool = False
    told: set[str] = field(default_factory=set)


class NetworkTrouble:
    """Looks at the events of all boards; each kind of trouble is told once a boot."""

    def __init__(self) -> None:
        self._boots: dict[str, _Boot] = {}

    def forget(self, board: str) -> None:
        """Forget a board that is kept here no more."""
        self._boots.pop(board, None)

    def silent(self, board: str, since: float) -> bool:
        """Tell whether a board was switched on at this Unix time and not heard on the network since."""
        boot = self._boots.get(board)
        return boot is not None and boot.on == since and not boot.heard

    def note(self, event: TraceEvent, network: str) -> tuple[TraceEvent, ...]:
        """Take an event of a board; return what it shows to be wrong.

        Args:
            event: Any event with a board.
            network: The network on which ``lab.toml`` says this board boots.
        """
        board = event.board
        if board is None:
            return ()
        if event.source == "power" and event.kind in ("on", "off"):
            self._boots.pop(board, None)
            if event.kind == "on":
                self._boots[board] = _Boot(event.at)
            return ()
        if event.source not in ("dhcp", "dhcp6", "tftp", "http", "agent"):
            return ()
        boot = self._boots.setdefault(board, _Boot(event.at, heard=True))
        first, boot.heard = not boot.heard, True
        if event.source != "dhcp" or event.kind not in _ASKED:
            return ()
        found = (
            _late(event, boot) if first and event.kind == "discover" else None,
            _elsewhere(event, network),
        )
        news = tuple(trouble for trouble in found if trouble is not None and trouble.kind not in boot.told)
        boot.told.update(trouble.kind for trouble in news)
        return news


def _late(event: TraceEvent, boot: _Boot) -> TraceEvent | None:
    """The first question that arrived is not the first that was asked."""
    waited = event.data.get("asking_seconds")
    if event.data.get("firmware") in _CLOCKS_OF_THEIR_OWN or not isinstance(waited, int):
        return None
    if "iPXE" in str(event.data.get("user_class", "")):
        waited -= _IPXE_FIRST
    if waited < LATE_SECONDS:
        return None
    after = event.at - boot.on
    text = (
        f"had been asking for {waited} s when it was first heard, {after:.0f} s after power-on: what it asked"
        " before was lost on the way. Most often its switch port waits for spanning tree: make it an edge"
        " port (portfast), or switch off STP there"
    )
    return _trouble(event, "late", text, {"asking_seconds": waited, "since_power_on": round(after, 1)})


def _elsewhere(event: TraceEvent, network: str) -> TraceEvent | None:
    """It asks on another network than the one it is to boot on."""
    heard = event.data.get("network")
    if not isinstance(heard, str) or heard == network:
        return None
    text = (
        f"asks on network {heard}, and lab.toml says that it boots on {network}: its cable or its port's VLAN"
        f' is wrong, or network = "{heard}" belongs into [boards.{event.board}]'
    )
    return _trouble(event, "wrong-network", text, {"network": heard, "expected": network})


def _trouble(event: TraceEvent, kind: str, text: str, data: dict[str, JSON]) -> TraceEvent:
    return replace(event, kind=kind, text=f"{event.board} {text}", data=data)
