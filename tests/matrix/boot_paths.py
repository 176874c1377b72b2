"""Every way a board boots: one row each, which the matrix runs and the table of docs/boot.md shows.

A new way is a new row. Rows with ``own_test`` are proved by a test of their own, which says so with the
fixture ``proof``; all others by ``test_boot_paths.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostler.model.first_stages import Loader


@dataclass(frozen=True, slots=True)
class BootPath:
    """One way of booting.

    Attributes:
        key: Its short name: of its test, its board and its class.
        title: What the table calls it.
        platform: As in ``lab.toml``.
        loader: What brings the kernel; None: the firmware itself.
        kind: Kind of the virtual board; empty: the virtual lab has no such board.
        first: What the board's firmware tries first.
        secure_boot: Whether it starts signed programs only.
        network: Who gives addresses: ``own`` ``ipv6`` (both kinds) ``dnsmasq`` ``dhcpd`` ``relay``.
        bootctl: The binding's TOML value, or empty.
        image: Image of the demo to install and to boot; empty: the agent looks at the hardware, no more.
        on_disk: Image that is on its disk before, or empty.
        own_test: Whether another test than ``test_boot_paths.py`` proves it.
        elsewhere: What stands in for a proof on the virtual lab; empty: the virtual lab proves it.
    """

    key: str
    title: str
    platform: str
    loader: Loader | None
    kind: str = ""
    first: str = "network"
    secure_boot: bool = False
    network: str = "own"
    bootctl: str = ""
    image: str = ""
    on_disk: str = ""
    own_test: bool = False
    elsewhere: str = ""


_BIOS, _UEFI, _UBOOT, _ARM_UEFI = "x86-bios", "x86-uefi", "arm64-uboot", "arm64-uefi"
_TINY, _TINY_ARM = "tiny-amd64", "tiny-arm64"
_STAND_IN = "a stand-in that says what its firmware says"

PATHS = (
    BootPath("bios-ipxe", "BIOS, PXE", _BIOS, Loader.IPXE, _BIOS, image=_TINY),
    BootPath("bios-lpxelinux", "BIOS, PXE", _BIOS, Loader.PXELINUX, _BIOS),
    BootPath("uefi-ipxe", "UEFI, PXE", _UEFI, Loader.IPXE, _UEFI, image=_TINY),
    BootPath("uefi-grub", "UEFI, PXE", _UEFI, Loader.GRUB, _UEFI, image=_TINY),
    BootPath("uefi-uki", "UEFI, PXE", _UEFI, Loader.UKI, _UEFI),
    BootPath("uefi-http-ipxe", "UEFI, HTTP", _UEFI, Loader.IPXE, _UEFI, "http"),
    BootPath("uefi-http-uki", "UEFI, HTTP", _UEFI, Loader.UKI, _UEFI, "http"),
    BootPath("uefi-secure", "UEFI, PXE, Secure Boot", _UEFI, Loader.GRUB, _UEFI, secure_boot=True),
    BootPath(
        "uefi-http-secure", "UEFI, HTTP, Secure Boot", _UEFI, Loader.GRUB, _UEFI, "http", secure_boot=True
    ),
    BootPath("arm64-uefi-pxe", "UEFI, PXE", _ARM_UEFI, Loader.GRUB, _ARM_UEFI),
    BootPath("arm64-uefi-uki", "UEFI, PXE", _ARM_UEFI, Loader.UKI, _ARM_UEFI),
    BootPath("arm64-uefi-http", "UEFI, HTTP", _ARM_UEFI, Loader.UKI, _ARM_UEFI, "http"),
    BootPath(
        "arm64-uefi-ipxe", "UEFI, PXE", _ARM_UEFI, Loader.IPXE,
        elsewhere="nothing: Debian 12 has no iPXE for it, give the server one of your own",
    ),
    BootPath("uefi-ipv6", "UEFI, PXE over IPv6", _UEFI, Loader.IPXE, _UEFI, "network6", network="ipv6"),
    BootPath("uefi-ipv6-grub", "UEFI, PXE over IPv6", _UEFI, Loader.GRUB, _UEFI, "network6", network="ipv6"),
    BootPath("uefi-http-ipv6", "UEFI, HTTP over IPv6", _UEFI, Loader.UKI, _UEFI, "http6", network="ipv6"),
    BootPath(
        "arm64-uefi-ipv6", "UEFI, PXE over IPv6", _ARM_UEFI, Loader.UKI, _ARM_UEFI, "network6", network="ipv6"
    ),
    BootPath("uboot", "U-Boot, network first", _UBOOT, Loader.PXELINUX, _UBOOT, image=_TINY_ARM),
    BootPath("uboot-grub", "U-Boot as EFI firmware", _UBOOT, Loader.GRUB, _UBOOT, own_test=True),
    BootPath("uboot-uki", "U-Boot as EFI firmware", _UBOOT, Loader.UKI, _UBOOT, own_test=True),
    BootPath(
        "uboot-taken-over", "U-Boot, disk first, taken over on its console", _UBOOT, Loader.PXELINUX, _UBOOT,
        "disk", bootctl='{ driver = "uboot-console" }', image=_TINY_ARM, on_disk=_TINY_ARM,
    ),
    BootPath(
        "proxy-dnsmasq", "BIOS, PXE, addresses from dnsmasq", _BIOS, Loader.IPXE, _BIOS, network="dnsmasq"
    ),
    BootPath(
        "proxy-dhcpd", "UEFI, PXE, addresses from ISC dhcpd", _UEFI, Loader.IPXE, _UEFI, network="dhcpd"
    ),
    BootPath(
        "relay", "BIOS, PXE, behind a relay, known by its port", _BIOS, Loader.IPXE, _BIOS, network="relay"
    ),
    BootPath("installer", "BIOS, PXE, an installer of its own", _BIOS, Loader.IPXE, _BIOS, own_test=True),
    BootPath(
        "debian-installer", "BIOS, PXE, Debian's installer up to its mirror", _BIOS, Loader.IPXE, _BIOS,
        own_test=True,
    ),
    BootPath(
        "media-bios", "BIOS, from a stick or CD", _BIOS, None, _BIOS, "media", image=_TINY, own_test=True
    ),
    BootPath(
        "media-uefi", "UEFI, from a stick or CD", _UEFI, None, _UEFI, "media", image=_TINY, own_test=True
    ),
    BootPath(
        "media-uefi-secure", "UEFI, from a stick or CD, Secure Boot", _UEFI, None, _UEFI, "media",
        secure_boot=True, own_test=True,
    ),
    BootPath(
        "media-arm64-uefi", "UEFI, from a stick or CD", _ARM_UEFI, None, _ARM_UEFI, "media", own_test=True
    ),
    BootPath("raspberrypi3", "Raspberry Pi 3 and CM3", "raspberrypi3", None, elsewhere=_STAND_IN),
    BootPath("raspberrypi4", "Raspberry Pi 4, 400 and CM4", "raspberrypi4", None, elsewhere=_STAND_IN),
    BootPath(
        "raspberrypi3-uboot", "Raspberry Pi 3, a U-Boot of its own", "raspberrypi3", Loader.UBOOT,
        elsewhere=_STAND_IN,
    ),
    BootPath(
        "raspberrypi4-uboot", "Raspberry Pi 4, a U-Boot of its own", "raspberrypi4", Loader.UBOOT,
        elsewhere=_STAND_IN,
    ),
    BootPath("raspberrypi5", "Raspberry Pi 5 and CM5", "raspberrypi5", None, elsewhere=_STAND_IN),
)  # fmt: skip
"""All of them, in the order of the table."""

BY_KEY = {path.key: path for path in PATHS}
