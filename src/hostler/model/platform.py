"""How a class of boards boots and where its console is: data, one row a platform."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Platform:
    """One way of booting.

    Attributes:
        name: As written in ``lab.toml``.
        arch: Debian's architecture name, ``amd64`` or ``arm64``.
        console: Kernel's name of the serial console, for ``console=`` on its command line.
        boot_seconds: Longest time from power-on until the agent must have spoken.
    """

    name: str
    arch: str
    console: str
    boot_seconds: float


# Real boards are through firmware, kernel and agent in one to two minutes; servers that train memory take
# up to four, and a virtual board under emulation on a busy machine as long. Five minutes without a word is
# a boot that failed.
_BOOT_SECONDS = 300.0

PLATFORMS: dict[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform("x86-bios", "amd64", "ttyS0,115200", _BOOT_SECONDS),
        Platform("x86-uefi", "amd64", "ttyS0,115200", _BOOT_SECONDS),
        Platform("arm64-uboot", "arm64", "ttyAMA0,115200", _BOOT_SECONDS),
        # Models B and the Compute Modules; mainline Linux calls the UART on pins 8 and 10 the second one.
        Platform("raspberrypi3", "arm64", "ttyS1,115200", _BOOT_SECONDS),
        Platform("raspberrypi4", "arm64", "ttyS1,115200", _BOOT_SECONDS),
        # On a connector of its own, between the two HDMI sockets.
        Platform("raspberrypi5", "arm64", "ttyAMA10,115200", _BOOT_SECONDS),
    )
}
"""Every platform Hostler can boot, by name."""
