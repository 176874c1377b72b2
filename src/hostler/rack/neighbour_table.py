"""Whether the kernel can remember all boards' Ethernet addresses at once: who does not fit gets no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

LIMIT_FILE: Final = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
"""The most neighbours of all networks; only the host's own namespace has it, and it counts for all."""

_OTHERS: Final = 24
"""Switches, BMCs, the uplink and whoever else asks: they need a place as well."""


def too_small(boards: int, limit_file: Path = LIMIT_FILE) -> tuple[str, str] | None:
    """Tell whether so many boards are more than the kernel remembers; None: they fit, or nobody can tell.

    A full table loses broadcasts too, so that boards get no answer to DHCP.

    Returns:
        What is wrong, and what to do about it.
    """
    try:
        limit = int(limit_file.read_text())
    except (OSError, ValueError):
        return None
    if boards + _OTHERS <= limit:
        return None
    room = 1 << (2 * (boards + _OTHERS) - 1).bit_length()
    return (
        f"the kernel remembers {limit} neighbours, and there are {boards} boards: when they boot at once,"
        " some get no answer",
        f"sysctl -w net.ipv4.neigh.default.gc_thresh3={room} net.ipv4.neigh.default.gc_thresh2={room // 2},"
        " and the same in /etc/sysctl.d",
    )
