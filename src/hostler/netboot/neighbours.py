"""MAC of a machine on the wire by its address, from the kernel: for networks whose addresses others give."""

from __future__ import annotations

from pathlib import Path

# Of the calling thread's own network namespace.
_TABLE = Path("/proc/thread-self/net/arp")
_COMPLETE = 0x2


def mac_in(table: str, address: str) -> str | None:
    """Find an address in the text of ``/proc/net/arp``; None: it is not there, or not answered yet."""
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) >= 4 and columns[0] == address and int(columns[2], 16) & _COMPLETE:
            return columns[3].lower()
    return None


def neighbour_mac(address: str) -> str | None:
    """Return the MAC that holds an IPv4 address on a network of this host, or None.

    Whoever has just sent us a packet is in the kernel's table: it must be, to be answered.
    """
    try:
        return mac_in(_TABLE.read_text(), address)
    except OSError:
        return None
