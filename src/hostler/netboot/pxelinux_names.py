"""Under which names PXELINUX and U-Boot look for their configuration, and whether a name means who asks.

Both try, below ``pxelinux.cfg/``: the machine's UUID, ``01-`` and its MAC with dashes, its IPv4 address as
eight hexadecimal digits and then one digit less each time, and ``default``; U-Boot also
``default-arm-SOC-BOARD``, ``default-arm-SOC`` and ``default-arm`` before that (``cmd/pxe.c``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Collection

    from hostler.netboot.table import Address

FOLDER = "pxelinux.cfg/"

_MAC = re.compile(r"01-((?:[0-9a-f]{2}-){5}[0-9a-f]{2})\Z")
_ADDRESS = re.compile(r"[0-9A-F]{1,8}\Z")
_DEFAULT = re.compile(r"default(?:-arm(?:-[A-Za-z0-9_]+){0,2}(?:-[A-Za-z0-9_\-]+)?)?\Z")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def means(name: str, address: Address, macs: Collection[str | None], uuid: str | None) -> bool:
    """Tell whether a name is one under which this machine looks for its own configuration.

    A name that is another machine's is not found, and the loader goes on to its next one.

    Args:
        name: What was asked for, with ``pxelinux.cfg/``.
        address: The asking address.
        macs: The MACs the machine has, lower case with colons.
        uuid: Its UUID as ``dmidecode`` tells it, lower case, or None.
    """
    if not name.startswith(FOLDER):
        return False
    last = name.removeprefix(FOLDER)
    if match := _MAC.match(last.lower()):
        return match[1].replace("-", ":") in macs
    if _UUID.match(last.lower()):
        return uuid is not None and last.lower() in _orders(uuid)
    if _ADDRESS.match(last):
        return address.version == 4 and f"{int(address):08X}".startswith(last)
    return _DEFAULT.match(last) is not None


def _orders(uuid: str) -> tuple[str, ...]:
    """A UUID as it reads, and as it reads to whoever takes its first three fields for big endian."""
    try:
        parsed = UUID(uuid)
    except ValueError:
        return ()
    return str(parsed), str(UUID(bytes=parsed.bytes_le))
