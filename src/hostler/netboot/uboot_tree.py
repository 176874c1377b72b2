"""What U-Boot finds by TFTP: its configuration under the names it tries, and what that names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.hold_image import HOLD_IMAGE
from hostler.netboot.payload import payload
from hostler.netboot.pxelinux_names import FOLDER, means
from hostler.netboot.quoting import QuotingError
from hostler.netboot.render_pxelinux import FDT, HOLD, INITRD, KERNEL, render_pxelinux
from hostler.netboot.render_uboot_script import NAMES as SCRIPTS
from hostler.netboot.render_uboot_script import uboot_script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.netboot.table import Address, Target

    Parts = tuple[bytes | Path, ...]

_EFI_LOADERS = (Loader.GRUB, Loader.UKI)


def uboot_file(
    name: str,
    client: Address,
    mac: str | None,
    target: Target | None,
    base: str,
    artefact: Callable[[str], Path | None],
) -> Parts | None:
    """Return what a file consists of, or None if there is none of that name for who asks.

    Args:
        name: What was asked for.
        client: The asking address.
        mac: The MAC that holds it, or None.
        target: The board, or None for a machine nobody knows.
        base: URL by which it reaches the boot listener, without a slash at the end.
        artefact: Finds a registered file by its id.
    """
    if name == HOLD:
        return (HOLD_IMAGE,)
    if name.startswith(FOLDER) or name in SCRIPTS:
        if target is not None and target.loader in _EFI_LOADERS:
            return None  # it comes to its EFI program when it finds nothing else
        if name in SCRIPTS:
            return (uboot_script(target, base),)
        known = (*target.macs, mac) if target else (mac,)
        own = means(name, client, known, target.uuid if target else None)
        return (render_pxelinux(target, base).encode(),) if own else None
    if target is None or target.intent is not BootIntent.STEP:
        return None
    if name == FDT:
        tree = target.files.get(target.device_tree) if target.device_tree else None
        return _registered(tree, artefact) if tree is not None else None
    if name not in (KERNEL, INITRD):
        return None
    try:
        system = payload(target, base)
    except QuotingError:
        return None  # the board was told to wait
    return _registered(system.kernel, artefact) if name == KERNEL else system.initrd_parts(artefact)


def _registered(identity: str, artefact: Callable[[str], Path | None]) -> Parts | None:
    path = artefact(identity)
    return (path,) if path is not None else None
