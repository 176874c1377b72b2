"""``boot.scr``: the script that a U-Boot without ``pxe`` fetches by TFTP, one for every boot intent.

Its boot target ``dhcp`` fetches ``boot.scr.uimg`` and runs it (``include/config_distro_bootcmd.h``). The text
is for the hush shell: what stands between apostrophes is taken as it is. A script that ends hands back to
the boot target, which asks for an EFI program next and then leaves the turn to the next one, usually a disk;
so every script that is not meant to do that ends with a reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot import quoting
from hostler.netboot.holding import why_held
from hostler.netboot.payload import payload, what
from hostler.netboot.render_pxelinux import FDT, INITRD, KERNEL, has_device_tree
from hostler.wire import uimage

if TYPE_CHECKING:
    from hostler.netboot.table import Target

NAMES = ("boot.scr.uimg", "boot.scr")
ASK_AGAIN_SECONDS = 20


def uboot_script(target: Target | None, base: str) -> bytes:
    """Return the script for a board, or for a machine nobody knows (``None``), as U-Boot takes it.

    Args:
        target: What the board is to do.
        base: URL by which it reaches the boot listener, without a slash at the end.
    """
    return uimage.script(render_uboot_script(target, base), "Hostler")


def render_uboot_script(target: Target | None, base: str) -> str:
    """Return the text of that script."""
    if target is None:
        return _hold(None, why_held(None))
    match target.intent:
        case BootIntent.LOCAL:
            return _file(f"echo 'Hostler: {quoting.words(target.board)}: booting from the local disk'")
        case BootIntent.STEP:
            try:
                return _step(target, base)
            except quoting.QuotingError as error:
                return _hold(target, f"cannot boot {what(target)}: {error}")
        case BootIntent.HOLD | BootIntent.ENVIRONMENT | BootIntent.DENY:
            return _hold(target, why_held(target))


def _step(target: Target, base: str) -> str:
    system = payload(target, base)
    # No apostrophe, backslash or dollar passes this: the shell takes the rest as it is.
    cmdline = quoting.pxelinux_cmdline(system.cmdline)
    name = quoting.words(target.board)
    fetch = [f"tftpboot ${{kernel_addr_r}} {KERNEL}"]
    if has_device_tree(target):
        fetch.append(f"tftpboot ${{fdt_addr_r}} {FDT}")
        tree = "${fdt_addr_r}"
    else:
        tree = "${hostler_fdt}"
    if system.initrd is not None:  # last: filesize is then its own
        fetch.append(f"tftpboot ${{ramdisk_addr_r}} {INITRD}")
    ramdisk = "${ramdisk_addr_r}:${filesize}" if system.initrd is not None else "-"
    start = f"booti ${{kernel_addr_r}} {ramdisk} {tree}"
    return _file(
        f"echo 'Hostler: {name}: booting {quoting.words(system.title)}'",
        f"setenv bootargs '{cmdline}'",
        # As pxe does without a tree of its own: what the board was given, or else U-Boot's.
        "setenv hostler_fdt ${fdtcontroladdr}",
        'if test -n "${fdt_addr}"; then setenv hostler_fdt ${fdt_addr}; fi',
        *(f"if {command}; then" for command in fetch),
        start,
        *("fi" for _ in fetch),
        *_again(f"{name}: that failed, asking again"),
    )


def _hold(target: Target | None, message: str) -> str:
    who = quoting.words(target.board) if target else "unknown machine"
    return _file(*_again(f"{who}: {quoting.words(message)}"))


def _again(message: str) -> tuple[str, ...]:
    return (f"echo 'Hostler: {message}'", f"sleep {ASK_AGAIN_SECONDS}", "reset")


def _file(*lines: str) -> str:
    return "\n".join(lines) + "\n"
