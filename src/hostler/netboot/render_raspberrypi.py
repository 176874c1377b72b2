"""What a Raspberry Pi's firmware reads: ``config.txt`` and ``cmdline.txt``, made for every boot intent.

Written for the firmware of Debian's ``raspi-firmware`` (2022-08 and later) and the EEPROM of a Pi 5. The
kernel is Debian's, so the device trees have mainline's names (``upstream_kernel=1``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.model.platform import PLATFORMS
from hostler.netboot import quoting
from hostler.netboot.holding import why_held
from hostler.netboot.payload import payload, what
from hostler.netboot.raspberrypi_uboot import UBOOT, uboot_variant

if TYPE_CHECKING:
    from hostler.netboot.payload import Payload
    from hostler.netboot.table import Target

CONFIG = "config.txt"
CMDLINE = "cmdline.txt"
KERNEL = "kernel8.img"
INITRD = "initrd.img"
_LONGEST_LINE = 98
"""Of ``config.txt``; the firmware ignores what is beyond."""


STAND_INS = {
    "bcm2711-rpi-cm4.dtb": "bcm2711-rpi-cm4-io.dtb",
    "bcm2837-rpi-cm3.dtb": "bcm2837-rpi-cm3-io3.dtb",
}
"""Device trees the firmware asks for that mainline Linux has for the module on its own carrier board only."""

ALIASES = {"bcm2710-rpi-": "bcm2837-rpi-"}
"""How Raspberry Pi's own kernel begins the names of device trees that mainline Linux begins otherwise."""

GENERATIONS = {name: platform for name, platform in PLATFORMS.items() if platform.device_trees}
"""The Raspberry Pis among the platforms; a Compute Module is of the generation of its number."""


def system_of(target: Target, base: str | None) -> Payload | None:
    """Return what a board is to be brought now; None: the program that waits.

    Args:
        target: The board.
        base: URL by which it reaches the boot listener; None: it does not.

    Raises:
        QuotingError: It is to be brought something and cannot be; the text says why.
    """
    if target.intent is not BootIntent.STEP:
        return None
    if base is None:
        raise quoting.QuotingError("it asks from an address that is on none of its networks")
    if absent := GENERATIONS[target.platform].lacks(target.files):
        raise quoting.QuotingError(absent)
    system = payload(target, base)
    render_cmdline(system)
    return system


def render_config(target: Target, base: str | None) -> str:
    """Return ``config.txt`` for a board that is not to boot from its disk; ``base`` as for ``system_of``."""
    lines, kernel = [], KERNEL
    variant = uboot_variant(target)
    try:
        system = system_of(target, base) if variant is None else None
    except quoting.QuotingError as error:
        title = f"cannot boot {what(target)}: {error}"
    else:
        title = f"booting {system.title}" if system is not None else why_held(target)
        if variant is not None:
            title, kernel = f"starting {variant}", UBOOT
        if system is not None and system.initrd is not None:
            lines = [f"initramfs {INITRD} followkernel"]
    return "\n".join(
        [
            *_comment(f"Hostler: {target.board}: {title}"),
            "[all]",
            "arm_64bit=1",
            "enable_uart=1",
            # Tells on the serial line what start*.elf does, up to the kernel's first word.
            "uart_2ndstage=1",
            "upstream_kernel=1",
            f"kernel={kernel}",
            *lines,
            "",
        ]
    )


def render_cmdline(system: Payload) -> str:
    """Return ``cmdline.txt``; the firmware passes its first line on.

    Raises:
        QuotingError: The command line has characters that do not belong there.
    """
    return quoting.raspberrypi_cmdline(system.cmdline) + "\n"


def _comment(text: str) -> list[str]:
    return ["# " + quoting.words(text, _LONGEST_LINE - 2)]
