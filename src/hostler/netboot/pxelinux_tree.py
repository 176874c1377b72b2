"""What PXELINUX finds below its path prefix, by HTTP or TFTP: a tree of the board's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot.payload import payload
from hostler.netboot.pxelinux_names import FOLDER, means
from hostler.netboot.quoting import QuotingError
from hostler.netboot.render_pxelinux_bios import (
    CONFIG,
    INITRD,
    KERNEL,
    RESET,
    asks_again,
    render_pxelinux_bios,
)
from hostler.netboot.reset_bzimage import RESET_BZIMAGE

if TYPE_CHECKING:
    from hostler.netboot.table import Address, Target

PREFIX = "pxelinux/"
"""Where the tree begins, by TFTP; by HTTP it does below ``/boot/``."""
PROGRAMS = ("lpxelinux.0", "pxelinux.0", "ldlinux.c32")


def pxelinux_file(
    name: str, client: Address, mac: str | None, target: Target | None, base: str
) -> bytes | str | None:
    """Return the bytes of a file, or the id of the artefact that has them; None: who asks has no such file.

    Args:
        name: Without the prefix.
        client: The asking address.
        mac: The MAC that holds it, or None.
        target: The board, or None for a machine nobody knows.
        base: URL by which it reaches the boot listener, without a slash at the end.
    """
    if name.startswith(FOLDER):
        rounds = asks_again(name)
        known = (*target.macs, mac) if target else (mac,)
        if rounds is None and not means(name, client, known, target.uuid if target else None):
            return None
        return render_pxelinux_bios(target, base, rounds or 0).encode()
    if name == RESET:
        return RESET_BZIMAGE
    if target is None:
        return None
    if name in PROGRAMS:
        return target.files.get(name)
    if target.intent is not BootIntent.STEP or name not in (KERNEL, CONFIG, INITRD):
        return None
    try:
        system = payload(target, base)
    except QuotingError:
        return None  # the board was told to wait
    return {KERNEL: system.kernel, CONFIG: system.config, INITRD: system.initrd}[name]
