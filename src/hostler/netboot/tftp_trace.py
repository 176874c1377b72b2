"""What the boot trace says about TFTP. Pure: the time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.trace import TraceEvent
from hostler.netboot.transfer_looks import words
from hostler.wire.tftp import HEADER_BYTES
from hostler.wire.tftp_session import Aborted, Done, Failed, Probed, TftpEvent, TimedOut

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from hostler.model.json import JSON
    from hostler.netboot.tftp_transfer import Transfer

_HEADERS = {4: 20 + 8, 6: 40 + 8}  # IP and UDP


def overhead(client: IPv4Address | IPv6Address) -> int:
    """Return the bytes that IP, UDP and TFTP add to a block."""
    return _HEADERS[client.version] + HEADER_BYTES


def started(transfer: Transfer, at: float) -> TraceEvent:
    """Tell that a client began to read; kind ``read``."""
    agreement = transfer.session.agreement
    options = ", ".join(f"{name} {value}" for name, value in agreement.options) or "no options"
    return trace(
        at,
        "read",
        f"{transfer.client} reads {transfer.name} ({transfer.size:,} bytes; {options})",
        str(transfer.client),
        file=transfer.name,
        size=transfer.size,
        blksize=agreement.block,
        windowsize=agreement.window,
        options=dict(agreement.options),
    )


def ended(transfer: Transfer, event: TftpEvent, at: float) -> TraceEvent:
    """Tell how a transfer ended; kind ``done``, ``probe``, ``timeout`` or ``error``."""
    name, rate = transfer.name, event.bytes / max(event.seconds, 1e-6) / 1e6
    match event:
        case Done(acknowledged=acknowledged):
            kind = "done"
            text = f"has all {event.bytes:,} bytes of {name} in {event.seconds:.2f} s, {rate:.1f} MB/s"
            text += f"; {event.retransmits} blocks were sent again" if event.retransmits else ""
            text += "" if acknowledged else "; it did not acknowledge the last block"
        case Probed(reason=reason):
            kind, text = "probe", f"only looked at {name}: {reason}"
        case TimedOut(all_sent=all_sent):
            kind = "timeout"
            text = f"fell silent after {event.bytes:,} of {transfer.size:,} bytes of {name}"
            text += "; all was sent, only its last acknowledgement is missing" if all_sent else ""
        case Aborted(reason=reason):
            kind, text = "error", f"gave up {name} after {event.bytes:,} bytes: {reason}"
        case Failed(reason=reason):
            kind, text = "error", f"could not be sent {name}: {reason}"
    return trace(
        at,
        kind,
        f"{transfer.client} {text}",
        str(transfer.client),
        file=name,
        size=transfer.size,
        bytes=event.bytes,
        seconds=round(event.seconds, 6),
        mb_per_s=round(rate, 3),
        retransmits=event.retransmits,
    )


def slow(transfer: Transfer, seconds: float, at: float) -> TraceEvent:
    """Tell how far a transfer is that goes on for long; kind ``slow``."""
    arrived = transfer.session.acknowledged
    return trace(
        at,
        "slow",
        f"{transfer.client}: {words(transfer.name, arrived, transfer.size, seconds)}",
        str(transfer.client),
        file=transfer.name,
        size=transfer.size,
        arrived=arrived,
    )


def stalled(transfer: Transfer, smaller: int, at: float) -> TraceEvent:
    """Tell that large packets do not come through to a client; kind ``mtu``.

    Args:
        transfer: The one whose first block never arrived.
        smaller: Largest block that this client is sent from now on, bytes.
        at: Unix time.
    """
    block = transfer.session.agreement.block
    packet = block + overhead(transfer.client)
    return trace(
        at,
        "mtu",
        f"{transfer.client} takes what is small and not the first block of {transfer.name}, {block} bytes,"
        f" which was sent {transfer.session.blocks_lost + 1} times: packets of {packet} bytes are lost on the"
        " way. Make the MTU the same on this host's interface, on every switch and on tunnels between; try it"
        f" with `ping -M do -s {block + HEADER_BYTES} {transfer.client}`. It gets blocks of {smaller} bytes"
        " from now on",
        str(transfer.client),
        file=transfer.name,
        blksize=block,
        packet=packet,
        next_blksize=smaller,
    )


def trace(at: float, kind: str, text: str, client: str | None, **data: JSON) -> TraceEvent:
    """Make a TFTP event; ``data["client"]`` is the address by which the rack finds the board."""
    return TraceEvent(at, "tftp", kind, text, data={"client": client, **data})
