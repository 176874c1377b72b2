"""Boot loaders that firmware fetches before a kernel, from Debian packages; signed if Debian signs them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hostler.build import deb
from hostler.build.apt import ARCHITECTURES, Apt, describe
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.errors import PackageError
from hostler.build.progress import silent

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.build.progress import Progress

_FILES = {
    "amd64": {
        ("shim-signed", "usr/lib/shim/shimx64.efi.signed"): "shimx64.efi",
        ("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"): "grubx64.efi",
        ("systemd-boot-efi", "usr/lib/systemd/boot/efi/linuxx64.efi.stub"): "linuxx64.efi.stub",
        ("pxelinux", "usr/lib/PXELINUX/lpxelinux.0"): "lpxelinux.0",
        ("pxelinux", "usr/lib/PXELINUX/pxelinux.0"): "pxelinux.0",
        ("syslinux-common", "usr/lib/syslinux/modules/bios/ldlinux.c32"): "ldlinux.c32",
    },
    "arm64": {
        ("shim-signed", "usr/lib/shim/shimaa64.efi.signed"): "shimaa64.efi",
        ("grub-efi-arm64-signed", "usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed"): "grubaa64.efi",
        ("systemd-boot-efi", "usr/lib/systemd/boot/efi/linuxaa64.efi.stub"): "linuxaa64.efi.stub",
    },
}


def build_loaders(
    arch: str, output_dir: Path, cache_dir: Path, progress: Progress = silent, *, refresh: bool = False
) -> dict[str, Path]:
    """Take the loaders for ``arch`` out of Debian's packages; returns them by the name they are served under.

    Args:
        arch: ``amd64`` or ``arm64``.
        output_dir: Where ``loaders-<arch>-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        refresh: Ask Debian for newer packages even if the files are there.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    if arch not in ARCHITECTURES:
        raise PackageError(f'unknown architecture "{arch}"; known are {", ".join(ARCHITECTURES)}')
    key = key_of({"arch": arch, "builder": source_digest("hostler.build.loaders", "hostler.build.apt")})
    place = kept(
        output_dir, f"loaders-{arch}", key, lambda empty: _make(arch, empty, cache_dir, progress),
        fresh=refresh,
    )  # fmt: skip
    return {name: place / name for name in _FILES[arch].values()}


def _make(arch: str, place: Path, cache_dir: Path, progress: Progress) -> None:
    wanted = _FILES[arch]
    packages = tuple(dict.fromkeys(package for package, _ in wanted))
    apt = Apt(arch, cache_dir, progress)
    archives = apt.fetch(packages, lambda package: package.name in packages)
    for archive in archives:
        names = {path: name for (package, path), name in wanted.items() if package == archive.package.name}
        for member in deb.members(archive.path, names.__contains__):
            (place / names[member.path]).write_bytes(member.data)
    absent = [
        f"{path} of {package}" for (package, path), name in wanted.items() if not (place / name).exists()
    ]
    if absent:
        raise PackageError(f"Debian's packages hold no {', '.join(absent)}")
    (place / "packages.json").write_text(json.dumps(describe(archives), indent=1) + "\n")
