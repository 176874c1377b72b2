"""The loaders of a medium that brings the agent, and of disks made of root file systems: GRUB from Debian.

For UEFI the signed one made for CDs, which shim starts; for BIOS those made here of GRUB's modules.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hostler.build import deb
from hostler.build.apt import ARCHITECTURES, Apt, describe
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.errors import PackageError
from hostler.build.grub import Grub
from hostler.build.progress import silent
from hostler.model.bootable import CORE_PREFIX, DISK_BOOT_SECTOR, DISK_CORE, UEFI_GRUB

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.build.progress import Progress

BIOS_IMAGE, BIOS_BOOT_SECTOR = "media-bios.img", "media-mbr.img"
PREFIX = "/boot/grub"
"""Where on the medium GRUB finds its configuration."""

_SIGNED = {
    "amd64": ("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"),
    "arm64": ("grub-efi-arm64-signed", "usr/lib/grub/arm64-efi-signed/gcdaa64.efi.signed"),
}
_BIOS_PACKAGE = "grub-pc-bin"


def build_media_loaders(
    arch: str, output_dir: Path, cache_dir: Path, progress: Progress = silent, *, refresh: bool = False
) -> dict[str, Path]:
    """Get the loaders for ``arch``; returns them by the name they are registered under.

    But for shim, which `hostler.build.loaders` brings.

    Args:
        arch: ``amd64`` or ``arm64``.
        output_dir: Where ``media-loaders-<arch>-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        refresh: Ask Debian for newer packages even if the files are there.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    if arch not in ARCHITECTURES:
        raise PackageError(f'unknown architecture "{arch}"; known are {", ".join(ARCHITECTURES)}')
    modules = (
        "hostler.build.media_loaders",
        "hostler.build.grub",
        "hostler.build.apt",
        "hostler.model.bootable",
    )
    key = key_of({"arch": arch, "builder": source_digest(*modules)})
    place = kept(
        output_dir, f"media-loaders-{arch}", key, lambda empty: _make(arch, empty, cache_dir, progress),
        fresh=refresh,
    )  # fmt: skip
    return {name: place / name for name in _names(arch)}


def _names(arch: str) -> tuple[str, ...]:
    return (
        UEFI_GRUB[arch],
        *((BIOS_IMAGE, BIOS_BOOT_SECTOR, DISK_CORE, DISK_BOOT_SECTOR) if arch == "amd64" else ()),
    )


def _make(arch: str, place: Path, cache_dir: Path, progress: Progress) -> None:
    package, path = _SIGNED[arch]
    wanted = (package, _BIOS_PACKAGE) if arch == "amd64" else (package,)
    archives = Apt(arch, cache_dir, progress).fetch(wanted, lambda one: one.name in wanted)
    files = {archive.package.name: archive.path for archive in archives}
    for member in deb.members(files[package], path.__eq__):
        (place / UEFI_GRUB[arch]).write_bytes(member.data)
    if not (place / UEFI_GRUB[arch]).exists():
        raise PackageError(f"{package} holds no {path}")
    if arch == "amd64":
        with Grub([files[_BIOS_PACKAGE]]) as grub:
            (place / BIOS_IMAGE).write_bytes(grub.bios_medium(PREFIX))
            (place / BIOS_BOOT_SECTOR).write_bytes(grub.hybrid_boot_sector())
            (place / DISK_CORE).write_bytes(grub.bios_core(CORE_PREFIX))
            (place / DISK_BOOT_SECTOR).write_bytes(grub.boot_sector())
    (place / "packages.json").write_text(json.dumps(describe(archives), indent=1) + "\n")
