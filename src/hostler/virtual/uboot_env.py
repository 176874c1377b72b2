"""U-Boot's environment in flash, with the network before the disk.

The stock order of ``qemu_arm64`` is disk first. A board in a rack must ask the network at every
power-up, so the lab writes the environment an administrator would have saved with ``saveenv``: the
firmware's own defaults (read from its binary, where they lie as NUL-separated text), plus ours.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

ENVIRONMENT_SIZE = 0x40000
"""CONFIG_ENV_SIZE of qemu_arm64; the environment starts the second flash bank (CONFIG_ENV_ADDR 0x4000000)."""

_FIRST_DEFAULT = b"bootcmd=run distro_bootcmd\0"


class NoDefaultEnvironment(Exception):  # noqa: N818 - says what was not found
    """The firmware's binary does not hold the default environment this lab knows how to extend."""


def default_environment(firmware: bytes) -> dict[str, str]:
    """Return the environment built into a U-Boot binary with distro boot.

    Raises:
        NoDefaultEnvironment: When it is not found.
    """
    start = firmware.find(_FIRST_DEFAULT)
    end = firmware.find(b"\0\0", start)
    if start < 0 or end < 0:
        raise NoDefaultEnvironment(
            "no distro_bootcmd environment in the U-Boot binary; is it the qemu_arm64 one?"
        )
    lines = firmware[start:end].decode("ascii", "replace").split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def network_first(defaults: dict[str, str], mac: str, uuid: UUID) -> dict[str, str]:
    """Return the environment of one board: PXE over the network first, then its virtio disk, then again."""
    return defaults | {
        "bootdelay": "0",
        "autoload": "no",
        # When the network has no answer, or says local (pxe's localboot runs localcmd), the disk is next;
        # a board with nothing on its disk starts over instead of waiting at a prompt for a person.
        "bootcmd": "run boot_network; run bootcmd_virtio0; sleep 5; reset",
        "boot_network": "if dhcp; then if pxe get; then pxe boot; fi; fi",
        "localcmd": "run bootcmd_virtio0",
        "pxeuuid": str(uuid),  # sent as option 97
        # U-Boot 2023.01 misreads the virtio-pci MAC (six times its first byte); real boards keep it here too.
        "ethaddr": mac,
        # Measured under TCG: 16 MiB/s at window 1, 42 at 4, 50 at 8, 54 at 16; from 32 on its ring overruns.
        "tftpblocksize": "1468",
        "tftpwindowsize": "16",
    }


def disk_first(defaults: dict[str, str], mac: str, uuid: UUID) -> dict[str, str]:
    """Return the environment of one board as it is shipped: two seconds, its disk, and then the network."""
    return defaults | {"pxeuuid": str(uuid), "ethaddr": mac, "tftpblocksize": "1468", "tftpwindowsize": "16"}


def encode(environment: dict[str, str]) -> bytes:
    """Return the environment as it lies in flash: CRC-32, then NUL-terminated lines, padded with 0xff.

    Raises:
        ValueError: When it does not fit.
    """
    lines = b"".join(f"{name}={value}".encode("ascii") + b"\0" for name, value in sorted(environment.items()))
    data = (lines + b"\0").ljust(ENVIRONMENT_SIZE - 4, b"\xff")
    if len(data) != ENVIRONMENT_SIZE - 4:
        raise ValueError("the environment is larger than its flash")
    return zlib.crc32(data).to_bytes(4, "little") + data
