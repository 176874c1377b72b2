"""What a Raspberry Pi's firmware reads: ``config.txt`` and ``cmdline.txt``, made for every boot intent.

Written for the firmware of Debian's ``raspi-firmware`` (2022-08 and later) and the EEPROM of a Pi 5. The
kernel is Debian's, so the device trees have mainline's names (``upstream_kernel=1``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot import quoting
from hostler.netboot.holding import why_held

if TYPE_CHECKING:
    from collections.abc import Container

    from hostler.netboot.table import Target

CONFIG = "config.txt"
CMDLINE = "cmdline.txt"
KERNEL = "kernel8.img"
INITRD = "initrd.img"
_LONGEST_LINE = 98
"""Of ``config.txt``; the firmware ignores what is beyond."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What the boards of one generation fetch besides kernel, initramfs and settings.

    Attributes:
        firmware: Files without which the board does not start, as ``raspi-firmware`` names them.
        device_trees: How the names of its device trees begin, as mainline Linux names them.
        aliases: How Raspberry Pi's own kernel begins them instead, which the firmware may ask for.
    """

    firmware: tuple[str, ...]
    device_trees: str
    aliases: tuple[str, ...] = ()


STAND_INS = {
    "bcm2711-rpi-cm4.dtb": "bcm2711-rpi-cm4-io.dtb",
    "bcm2837-rpi-cm3.dtb": "bcm2837-rpi-cm3-io3.dtb",
}
"""Device trees the firmware asks for that mainline Linux has for the module on its own carrier board only."""

GENERATIONS = {
    "raspberrypi3": Generation(("bootcode.bin", "start.elf", "fixup.dat"), "bcm2837-rpi-", ("bcm2710-rpi-",)),
    "raspberrypi4": Generation(("start4.elf", "fixup4.dat"), "bcm2711-rpi-"),
    # Its EEPROM does what start4.elf does on a Pi 4.
    "raspberrypi5": Generation((), "bcm2712"),
}
"""By platform; a Compute Module is of the generation of its number."""


def missing(platform: str, files: Container[str]) -> str:
    """Tell which files a board of a platform could not boot without; empty when there are all."""
    absent = [name for name in GENERATIONS[platform].firmware if name not in files]
    if not absent:
        return ""
    return f"a {platform} needs {', '.join(absent)}; run: hostler agent build --arch arm64"


def boots_agent(target: Target) -> str:
    """Tell why a board cannot boot the agent; empty when it can."""
    generation = GENERATIONS[target.platform]
    if not target.kernel or not target.initrd:
        return "no kernel and initramfs are registered for it"
    if not any(name.startswith(generation.device_trees) for name in target.files):
        return (
            f"the kernel of the agent has no device tree {generation.device_trees}*.dtb for a "
            f"{target.platform}; register an agent with a kernel that knows this board"
        )
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
