"""What the boot trace says about DHCP, and how much of it: nobody fills the trace by asking."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hostler.model.network_trouble import seconds_asking
from hostler.model.trace import TraceEvent
from hostler.netboot.dhcp_identity import NOT_RELAYED, RelayPort
from hostler.netboot.table import DhcpMode
from hostler.netboot.trace_budget import TraceBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.json import JSON
    from hostler.netboot.dhcp_policy import Answer, Facts
    from hostler.netboot.leases import Lease
    from hostler.netboot.served_network import ServedNetwork
    from hostler.netboot.table import Target
    from hostler.wire.dhcp import Message

# What a board does in a boot fits; a board that asks in a tight loop does not.
_BOARD_BURST, _BOARD_RATE, _BOARDS = 40, 1, 65536
# A stranger is to be seen, and soon; a thousand of them, or one that raves, are not to fill the trace.
_STRANGER_BURST, _STRANGER_RATE, _STRANGERS = 10, 0.5, 4096
_STRANGERS_BURST, _STRANGERS_RATE = 200, 20


class Ask(NamedTuple):
    """One message with all that was found out about its sender.

    Attributes:
        message: As it came.
        network: The network it is about.
        mac: MAC of the client.
        target: The board it is, or None.
        server_id: What this server is called in the answer.
        fixed: The address the board is to have, or None: any.
        answer: What to boot.
        facts: What the client tells of itself.
        now: Unix time in seconds.
        traced: How many messages before it were left out of the trace; None: so is this one.
        port: Where a relay heard it.
        source: Who sent it to ``BINL_PORT``; None: it came to the DHCP port.
    """

    message: Message
    network: ServedNetwork
    mac: str
    target: Target | None
    server_id: bytes
    fixed: bytes | None
    answer: Answer
    facts: Facts
    now: float
    traced: int | None
    port: RelayPort = NOT_RELAYED
    source: tuple[str, int] | None = None


class DhcpTrace:
    """Tells what clients say.

    Args:
        emit: Takes what is to be traced at once.
    """

    def __init__(self, emit: Callable[[TraceEvent], None]) -> None:
        self._emit = emit
        self._boards = TraceBudget(_BOARD_BURST, _BOARD_RATE, _BOARDS)
        self._strangers = TraceBudget(
            _STRANGER_BURST, _STRANGER_RATE, _STRANGERS, _STRANGERS_BURST, _STRANGERS_RATE
        )

    def take(self, target: Target | None, mac: str, now: float) -> int | None:
        """Return how many messages of a sender were left out before this one, or None: so is this one."""
        budget, sender = (self._boards, target.board) if target is not None else (self._strangers, mac)
        return budget.take(sender, now)

    def asked(self, ask: Ask, kind: str, text: str, **details: JSON) -> None:
        """Tell what a client said."""
        if ask.traced is not None:
            if asking := seconds_asking(ask.message.secs):
                details["asking_seconds"] = asking
            self._emit(about(ask, kind, text, {**ask.facts.to_json(), **ask.port.to_json(), **details}))

    def ignored(self, ask: Ask, reason: str, **details: JSON) -> None:
        """Tell why a client gets no answer."""
        self.asked(ask, "ignored", f"gets no answer: {reason}", reason=reason, **details)

    def ignored_bytes(self, network: ServedNetwork, reason: str, now: float) -> None:
        """Tell why something that is no DHCP message gets no answer."""
        missed = self._strangers.take("", now)
        if missed is not None:
            details: dict[str, JSON] = {"network": network.config.name, "reason": reason}
            if missed:
                details["left_out"] = missed
            self._emit(
                TraceEvent(now, "dhcp", "ignored", f"a datagram gets no answer: {reason}", data=details)
            )


def about(ask: Ask, kind: str, text: str, details: dict[str, JSON]) -> TraceEvent:
    """Return an event about who asked."""
    target = ask.target
    data: dict[str, JSON] = {"network": ask.network.config.name, **details}
    if ask.traced:
        data["left_out"] = ask.traced
    return TraceEvent(
        at=ask.now,
        source="dhcp",
        kind=kind,
        text=f"{target.board if target else ask.mac} {text}",
        board=target.board if target else None,
        mac=ask.mac,
        boot=target.boot if target else None,
        data=data,
    )


def given(ask: Ask, lease: Lease | None, *, offered: bool) -> TraceEvent:
    """Return what is told of an answer: kind ``offer`` or ``ack``."""
    config = ask.network.config
    details: dict[str, JSON] = {"server": ask.network.server_text}
    text = "is told the settings" if config.dhcp is DhcpMode.OWN else "is told that this host boots it"
    if lease is not None:
        details["address"] = lease.text
        details["lease_seconds"] = config.lease_seconds
        verb = "is offered" if offered else "gets"
        text = f"{verb} {lease.text}"
    if ask.answer.file:
        details["file"] = ask.answer.file
        text += f", to boot {ask.answer.file}"
    return about(ask, "offer" if offered else "ack", text, details)
