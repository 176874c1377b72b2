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

if TYPE_CHECKING:
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


def boots_agent(target: Target) -> str:
    """Tell why a board cannot boot the agent; empty when it can."""
    if not target.kernel or not target.initrd:
        return "no kernel and initramfs are registered for it"
    if absent := GENERATIONS[target.platform].lacks(target.files):
        return absent
    try:
        render_cmdline(target)
    except quoting.QuotingError as error:
        return str(error)
    return ""


def runs_agent(target: Target) -> bool:
    """Whether what the board is given now is the agent, and not the program that waits."""
    return target.intent is BootIntent.STEP and not boots_agent(target)


def render_config(target: Target) -> str:
    """Return ``config.txt`` for a board that is not to boot from its disk."""
    if runs_agent(target):
        title = "booting the agent"
        lines = [f"initramfs {INITRD} followkernel"]
    else:
        why = boots_agent(target) if target.intent is BootIntent.STEP else ""
        title = f"cannot boot the agent: {why}" if why else why_held(target)
        lines = []
    return "\n".join(
        [
            *_comment(f"Hostler: {target.board}: {title}"),
            "[all]",
            "arm_64bit=1",
            "enable_uart=1",
            # Tells on the serial line what start*.elf does, up to the kernel's first word.
            "uart_2ndstage=1",
            "upstream_kernel=1",
            f"kernel={KERNEL}",
            *lines,
            "",
        ]
    )


def render_cmdline(target: Target) -> str:
    """Return ``cmdline.txt``; the firmware passes its first line on.

    Raises:
        QuotingError: The command line has characters that do not belong there.
    """
    return quoting.raspberrypi_cmdline(target.cmdline) + "\n" if target.cmdline else "\n"


def _comment(text: str) -> list[str]:
    return ["# " + quoting.words(text, _LONGEST_LINE - 2)]
