"""The medium that brings the agent to a board without network boot: how it is known, and what it was told.

ECMA-119 (ISO 9660) section 8.4: the primary volume descriptor is the 17th sector and holds the volume's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.medium import RACK_ARGUMENT, VOLUME

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.agent.disks import Machine

_DESCRIPTOR = 16 * 2048
_NAME = slice(40, 72)


def is_medium(path: Path) -> bool:
    """Tell whether a disk is such a medium, this board's own or one for another; it is to be left alone."""
    try:
        with path.open("rb") as disk:
            disk.seek(_DESCRIPTOR)
            descriptor = disk.read(_NAME.stop)
    except OSError:
        return False
    return descriptor[1:6] == b"CD001" and descriptor[_NAME].decode("ascii", "replace").rstrip() == VOLUME


def rack_of_medium(machine: Machine) -> str | None:
    """Return the rack's URL the medium's loader gave the kernel; None: the agent came some other way."""
    try:
        words = (machine.proc / "cmdline").read_text().split()
    except OSError:
        return None
    values = [word.partition("=")[2] for word in words if word.startswith(f"{RACK_ARGUMENT}=")]
    return values[-1] if values else None
