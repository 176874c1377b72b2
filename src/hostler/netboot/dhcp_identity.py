"""Which board sends this DHCP message: by UUID, serial, MAC, or the port a relay names; all must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hostler.model.identity import serial_digits
from hostler.netboot.dhcp_policy import Firmware
from hostler.wire import dhcp_options as option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.json import Document
    from hostler.netboot.dhcp_policy import Facts
    from hostler.netboot.table import BootTable, Target


class Sender(NamedTuple):
    """Who sent a message.

    Attributes:
        target: The board, or None for a machine nobody knows.
        conflict: Why it cannot be told which board it is; empty if it can. ``target`` is then the one to
            trace it for.
    """

    target: Target | None
    conflict: str = ""


class RelayPort(NamedTuple):
    """Where a relay got the message from (RFC 3046), as hex; None where it does not say.

    Attributes:
        circuit_id: The port.
        remote_id: The relay or switch.
    """

    circuit_id: str | None = None
    remote_id: str | None = None

    def to_json(self) -> Document:
        """Return what is known, for the trace."""
        document: Document = {}
        if self.circuit_id:
            document["circuit_id"] = self.circuit_id
        if self.remote_id:
            document["remote_id"] = self.remote_id
        return document


NOT_RELAYED = RelayPort()


def relay_port(relay: Mapping[int, bytes]) -> RelayPort:
    """Read the sub-options of option 82."""
    circuit, remote = relay.get(option.RELAY_CIRCUIT_ID), relay.get(option.RELAY_REMOTE_ID)
    return RelayPort(circuit.hex() if circuit else None, remote.hex() if remote else None)


def sender_of(table: BootTable, mac: str, facts: Facts, port: RelayPort) -> Sender:
    """Return the board that sent a message.

    A board whose interface was exchanged is still known by its UUID, its serial and its port; its new MAC
    then stands for it until the server ends, so that its TFTP and HTTP requests are known too.

    Args:
        table: The boards; learns the MAC.
        mac: The sender's.
        facts: What it says about itself.
        port: What the relay says.
    """
    named = table.by_mac(mac)
    by_uuid = table.by_uuid(facts.uuid) if facts.uuid else None
    by_serial = next(filter(None, map(table.by_serial, facts.serials)), None)
    by_port = table.by_port(*port) if port != NOT_RELAYED else None
    shown = by_uuid or by_serial or by_port
    if named is not None and mac not in named.macs and shown is None:
        # It stood for a board it no longer shows any sign of.
        if port == NOT_RELAYED and facts.firmware not in (Firmware.IPXE, Firmware.PXE):
            return Sender(named)  # a renewal, which no relay passes on
        # iPXE will say more of itself by HTTP; until then it may be in another machine by now.
        table.stand_in(mac, None)
        return Sender(None)
    own = named if named is not None and mac in named.macs else None
    hits = [
        (f"UUID {facts.uuid}", by_uuid),
        (f"serial {by_serial.serial if by_serial else ''}", by_serial),
        (f"MAC {mac}", own),
        (f"relay port {port.circuit_id or '?'} of {port.remote_id or '?'}", by_port),
    ]
    found = {target.board: target for _, target in hits if target is not None}
    if len(found) > 1:
        says = "; ".join(f"{what} belongs to {target.board}" for what, target in hits if target is not None)
        return Sender(own or shown, f"its facts belong to different boards: {says}; {ADVICE}")
    target = next(iter(found.values()), None)
    known = serial_digits(target.serial) if target is not None and facts.serials else None
    if target is not None and known is not None and known not in facts.serials:
        return Sender(
            target, f"it should have serial {target.serial} but says {facts.serials[0]}; was it swapped?"
        )
    if target is not None and own is None:
        table.stand_in(mac, target.board)
    return Sender(target)


ADVICE = "put the cables right or correct lab.toml"
"""What to do about facts that belong to different boards."""
