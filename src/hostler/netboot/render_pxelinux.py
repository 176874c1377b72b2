"""The ``pxelinux.cfg`` file a board with U-Boot gets when it asks: one for every boot intent.

Written for U-Boot 2023.01 (``boot/pxe_utils.c``). If no label of a file boots, U-Boot goes on to its next
boot target, which is usually a disk. So every file that is not meant to do that ends with the label
``again``: a few words of machine code (``hold_image``) that wait and reset the board, which then asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot import quoting
from hostler.netboot.holding import why_held
from hostler.netboot.payload import payload, what

if TYPE_CHECKING:
    from hostler.netboot.table import Target

KERNEL = "boot/kernel"
INITRD = "boot/initrd"
FDT = "boot/fdt.dtb"
HOLD = "boot/hold"


def has_device_tree(target: Target) -> bool:
    """Whether its class names a device tree and that is registered."""
    return target.device_tree is not None and target.device_tree in target.files


def render_pxelinux(target: Target | None, base: str) -> str:
    """Return the file for a board, or for a machine nobody knows (``None``).

    Args:
        target: What the board is to do.
        base: URL by which it reaches the boot listener, without a slash at the end.
    """
    if target is None:
        return _hold(None, why_held(None))
    match target.intent:
        case BootIntent.LOCAL:
            return _local(target)
        case BootIntent.STEP:
            try:
                return _step(target, base)
            except quoting.QuotingError as error:
                return _hold(target, f"cannot boot {what(target)}: {error}")
        case BootIntent.HOLD | BootIntent.ENVIRONMENT | BootIntent.DENY:
            return _hold(target, why_held(target))


def _local(target: Target) -> str:
    # -1 is "go on with the next boot device", both in PXELINUX and in U-Boot, where 0 would run ${localcmd}.
    title = f"Hostler: {quoting.words(target.board)}: booting from the local disk"
    return _file("DEFAULT local", "LABEL local", f"MENU LABEL {title}", "LOCALBOOT -1")


def _step(target: Target, base: str) -> str:
    system = payload(target, base)
    cmdline = quoting.pxelinux_cmdline(system.cmdline)
    name = quoting.words(target.board)
    return _file(
        "DEFAULT step",
        "LABEL step",
        f"MENU LABEL Hostler: {name}: booting {quoting.words(system.title)}",
        f"LINUX {KERNEL}",
        # Before APPEND: U-Boot would look for an initrd= in that one if it knew of none yet.
        *([f"INITRD {INITRD}"] if system.initrd is not None else []),
        *([f"FDT {FDT}"] if has_device_tree(target) else []),
        *([f"APPEND {cmdline}"] if cmdline else []),
        *_again(f"{name}: that failed, asking again"),
    )


def _hold(target: Target | None, message: str) -> str:
    who = quoting.words(target.board) if target else "unknown machine"
    return _file("DEFAULT again", *_again(f"{who}: {quoting.words(message)}"))


def _again(message: str) -> tuple[str, ...]:
    return ("LABEL again", f"MENU LABEL Hostler: {message}", f"LINUX {HOLD}")


def _file(*lines: str) -> str:
    return "\n".join(lines) + "\n"
