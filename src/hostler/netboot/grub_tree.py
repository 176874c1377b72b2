"""What shim and GRUB find by TFTP below ``grub/``: themselves, the board's own configuration, its system.

Debian's signed GRUB asks for ``grub/x86_64-efi/grub.cfg`` (``arm64-efi``), which is not there, and then for
``grub/grub.cfg``. Others try names with the machine's UUID, MAC and address first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot.grub_image import IMAGES, grub_image, grub_system, registered
from hostler.netboot.pxelinux_names import FOLDER, means
from hostler.netboot.render_grub import INITRD, KERNEL, ROUND, failure, render_grub, render_grub_loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.netboot.table import Address, Target

    Parts = tuple[bytes | Path, ...]

PREFIX = "grub/"
PROGRAMS = ("shimx64.efi", "grubx64.efi", "shimaa64.efi", "grubaa64.efi")
_CONFIG = "grub.cfg"


def grub_file(
    name: str,
    client: Address,
    mac: str | None,
    target: Target | None,
    base: str,
    lease_seconds: int,
    program: Callable[[str], str | None],
    artefact: Callable[[str], Path | None],
) -> Parts | None:
    """Return what a file consists of; None: who asks has no such file.

    A board that is to boot its disk finds no program, and its firmware goes on with its next boot option.

    Args:
        name: With the prefix.
        client: The asking address.
        mac: The MAC that holds it, or None.
        target: The board, or None for a machine nobody knows.
        base: URL by which what is started reaches the boot listener, without a slash at the end.
        lease_seconds: How long its lease lasts.
        program: Finds the artefact id of a boot file by its name.
        artefact: Finds a registered file by its id.

    Raises:
        VirtualFileError: It should be there, and a part of it is not registered.
    """
    own = name.removeprefix(PREFIX)
    if own in PROGRAMS:
        if target is not None and target.intent is BootIntent.LOCAL:
            return None
        identity = program(own)
        return registered(identity, own, artefact) if identity is not None else None
    if name in IMAGES:
        return grub_image(name, target, base, program, artefact)
    if name in (KERNEL, INITRD):
        return grub_system(target, base, artefact).get(name)
    if name == ROUND:
        return (render_grub(target, base).encode(),)
    if failure(name) is not None:
        return (b"true\n",)
    return (render_grub_loop(lease_seconds).encode(),) if _is_config(own, client, mac, target) else None


def _is_config(name: str, client: Address, mac: str | None, target: Target | None) -> bool:
    if name == _CONFIG:
        return True
    if not name.startswith(f"{_CONFIG}-"):
        return False
    macs = (*target.macs, mac) if target else (mac,)
    uuid = target.uuid if target else None
    return means(FOLDER + name.removeprefix(f"{_CONFIG}-"), client, macs, uuid)
