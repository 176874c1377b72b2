"""How a class of boards boots and where its console is: data, one row a platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.model.first_stages import Loader, registered_files

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class Platform:
    """One way of booting.

    Attributes:
        name: As written in ``lab.toml``.
        arch: Debian's architecture name, ``amd64`` or ``arm64``.
        console: Kernel's name of the serial console, for ``console=`` on its command line.
        boot_seconds: Longest time from power-on until the agent must have spoken.
        firmware_files: What its firmware fetches by TFTP before it can fetch a kernel.
        device_trees: How the names begin of the device trees of which its firmware fetches one; empty: it
            brings its own, or needs none.
        loaders: What may bring its kernel, the usual one first; empty: its firmware does that itself.
        instead: What may do so in the place of its firmware, where a class says so.
    """

    name: str
    arch: str
    console: str
    boot_seconds: float
    firmware_files: tuple[str, ...] = ()
    device_trees: str = ""
    loaders: tuple[Loader, ...] = ()
    instead: tuple[Loader, ...] = ()

    @property
    def choices(self) -> tuple[Loader, ...]:
        """Every loader that a class may choose."""
        return (*self.loaders, *self.instead)

    def loader(self, chosen: Loader | None, *, secure_boot: bool) -> Loader | None:
        """Return what is to bring a board's kernel; None: its firmware leaves no choice.

        Args:
            chosen: What its class says, or None.
            secure_boot: Whether the board told that Secure Boot is on.
        """
        if chosen is not None:
            return chosen
        if secure_boot and Loader.GRUB in self.loaders:
            return Loader.GRUB
        return self.loaders[0] if self.loaders else None

    def lacks_firmware(self, files: Collection[str]) -> str:
        """Tell which firmware files are not among those that can be served; empty: none."""
        absent = [name for name in self.firmware_files if name not in files]
        if not absent:
            return ""
        return f"a {self.name} needs {', '.join(absent)}; run: hostler agent build --arch {self.arch}"

    def lacks(
        self, files: Collection[str], loader: Loader | None = None, device_tree: str | None = None
    ) -> str:
        """Tell what a board needs to boot the agent that is not among the files served; empty: nothing.

        Args:
            files: Their names.
            loader: What is to bring the kernel, if something is.
            device_tree: The one that its class names, if it does.
        """
        if absent := self.lacks_firmware(files):
            return absent
        needed = registered_files(self.arch, loader) if loader is not None else ()
        if unregistered := [name for name in needed if name not in files]:
            names = ", ".join(unregistered)
            if loader is Loader.UBOOT:  # nobody but its owner can build it
                return f"loader {loader} needs {names}; hostler agent build registers it with --boot-file"
            return f"loader {loader} needs {names}; run: hostler agent build --arch {self.arch}"
        if self.device_trees and not any(name.startswith(self.device_trees) for name in files):
            return (
                f"the agent's kernel has no device tree {self.device_trees}*.dtb for a {self.name}; "
                "register an agent with a kernel that knows this board"
            )
        if device_tree is not None and device_tree not in files:
            return (
                f"no device tree {device_tree} is registered; run: hostler agent build --arch {self.arch} "
                f"--boot-file PATH/{device_tree}"
            )
        return ""


# Real boards are through firmware, kernel and agent in one to two minutes; servers that train memory take
# up to four, and a virtual board under emulation on a busy machine as long. Five minutes without a word is
# a boot that failed.
_BOOT_SECONDS = 300.0

PLATFORMS: dict[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform("x86-bios", "amd64", "ttyS0,115200", _BOOT_SECONDS, loaders=(Loader.IPXE, Loader.PXELINUX)),
        Platform(
            "x86-uefi",
            "amd64",
            "ttyS0,115200",
            _BOOT_SECONDS,
            loaders=(Loader.IPXE, Loader.GRUB, Loader.UKI),
        ),
        # Debian 12 has no iPXE for it.
        Platform(
            "arm64-uefi",
            "arm64",
            "ttyAMA0,115200",
            _BOOT_SECONDS,
            loaders=(Loader.GRUB, Loader.UKI, Loader.IPXE),
        ),
        # By its own pxelinux.cfg, or by an EFI program that it starts.
        Platform(
            "arm64-uboot",
            "arm64",
            "ttyAMA0,115200",
            _BOOT_SECONDS,
            loaders=(Loader.PXELINUX, Loader.GRUB, Loader.UKI),
        ),
        # Models B and the Compute Modules; mainline Linux calls the UART on pins 8 and 10 the second one.
        Platform(
            "raspberrypi3",
            "arm64",
            "ttyS1,115200",
            _BOOT_SECONDS,
            ("bootcode.bin", "start.elf", "fixup.dat"),
            "bcm2837-rpi-",
            instead=(Loader.UBOOT,),
        ),
        Platform(
            "raspberrypi4",
            "arm64",
            "ttyS1,115200",
            _BOOT_SECONDS,
            ("start4.elf", "fixup4.dat"),
            "bcm2711-rpi-",
            instead=(Loader.UBOOT,),
        ),
        # Its console is on a connector of its own, between the two HDMI sockets; its EEPROM does what
        # start4.elf does on a Pi 4.
        Platform("raspberrypi5", "arm64", "ttyAMA10,115200", _BOOT_SECONDS, (), "bcm2712"),
    )
}
"""Every platform Hostler can boot, by name."""

UBOOT_PLATFORMS = frozenset({"arm64-uboot"})
"""Those whose firmware is U-Boot."""
