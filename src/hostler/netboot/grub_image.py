"""A disk of shim, GRUB and all that GRUB is to start: how UEFI HTTP boot comes to a signed kernel.

Debian's signed GRUB has no HTTP, and no network at all when firmware did not start it by PXE. But firmware
that fetches a disk image by HTTP keeps it as a disk in memory and boots that (UEFI 2.10 section 24.7): GRUB
then reads its configuration and the kernel from the disk it came from. It cannot ask again, so a board that
is held resets after a while, and its firmware asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot.payload import payload
from hostler.netboot.quoting import QuotingError
from hostler.netboot.render_grub import INITRD, KERNEL, ROUND, render_grub, render_grub_once
from hostler.netboot.virtual_file import VirtualFileError
from hostler.wire import fat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.netboot.table import Target

    Parts = tuple[bytes | Path, ...]

_PROGRAMS = {
    "grub/x64/boot.img": {"EFI/BOOT/BOOTX64.EFI": "shimx64.efi", "EFI/BOOT/grubx64.efi": "grubx64.efi"},
    "grub/arm64/boot.img": {"EFI/BOOT/BOOTAA64.EFI": "shimaa64.efi", "EFI/BOOT/grubaa64.efi": "grubaa64.efi"},
}
_CLUSTERS = (2048, 8192, 32768)
"""Bytes: a FAT16 has at least 4085 clusters, and what is empty of it is fetched as well."""
_CLUSTERS_FILLED = 60_000  # of 65524: files and directories begin new ones
IMAGES = tuple(_PROGRAMS)
"""The names of such disks, by TFTP and by HTTP below ``/boot/``."""


def grub_image(
    name: str,
    target: Target | None,
    base: str,
    program: Callable[[str], str | None],
    artefact: Callable[[str], Path | None],
) -> Parts | None:
    """Return what a board's disk consists of now; None: it is to go on to its own disk.

    Args:
        name: One of ``IMAGES``.
        target: The board, or None for a machine nobody knows.
        base: URL by which what is started reaches the boot listener, without a slash at the end.
        program: Finds the artefact id of a boot file by its name.
        artefact: Finds a registered file by its id.

    Raises:
        VirtualFileError: It cannot be put together.
    """
    if target is not None and target.intent is BootIntent.LOCAL:
        return None
    files = {path: registered(program(file), file, artefact) for path, file in _PROGRAMS[name].items()}
    files["grub/grub.cfg"] = (render_grub_once().encode(),)
    files[ROUND] = (render_grub(target, base).encode(),)
    return _disk(files | grub_system(target, base, artefact))


def grub_system(target: Target | None, base: str, artefact: Callable[[str], Path | None]) -> dict[str, Parts]:
    """Return the files that GRUB is to start on a board now, by name; empty: there are none.

    Args:
        target: The board, or None for a machine nobody knows.
        base: URL by which what is started reaches the boot listener, without a slash at the end.
        artefact: Finds a registered file by its id.

    Raises:
        VirtualFileError: One of them is not registered.
    """
    if target is None or target.intent is not BootIntent.STEP:
        return {}
    try:
        system = payload(target, base)
    except QuotingError:
        return {}  # the board is told to wait
    initrd = system.initrd_parts(artefact)
    if initrd is None:
        raise VirtualFileError("its initramfs is not registered here")
    files = {KERNEL: registered(system.kernel, "its kernel", artefact)}
    return {**files, INITRD: initrd} if initrd else files


def registered(identity: str | None, what: str, artefact: Callable[[str], Path | None]) -> Parts:
    """Return a registered file; raises VirtualFileError, with ``what`` it is, where there is none."""
    path = artefact(identity) if identity else None
    if path is None:
        raise VirtualFileError(f"{what} is not registered here")
    return (path,)


def _disk(files: dict[str, Parts]) -> Parts:
    try:
        sizes = [
            (name, sum(len(part) if isinstance(part, bytes) else part.stat().st_size for part in parts))
            for name, parts in files.items()
        ]
        whole_size = sum(size for _, size in sizes)
        fitting = (cluster for cluster in _CLUSTERS if whole_size < cluster * _CLUSTERS_FILLED)
        plan = fat.layout(sizes, cluster=next(fitting, _CLUSTERS[-1]))
    except (OSError, fat.FatError) as error:
        raise VirtualFileError(f"it cannot be put together: {error}") from error
    whole: list[bytes | Path] = [plan.head]
    for parts, padding in zip(files.values(), plan.padding, strict=True):
        whole += [*parts, bytes(padding)]
    return *whole, bytes(plan.tail)
