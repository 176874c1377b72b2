"""What a Raspberry Pi fetches before its kernel: boot loader and GPU firmware, from Debian's package.

Debian keeps ``raspi-firmware`` in ``non-free-firmware``; a mirror may be without it. A Pi 5 needs none of
this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hostler.build import deb
from hostler.build.apt import Apt, describe
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.errors import PackageError
from hostler.build.progress import silent

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.build.progress import Progress

FILES = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")
"""The plain variants: the others have codecs, a debugger, or lack what a kernel with a display needs."""
_PACKAGE = "raspi-firmware"
HOME = "usr/lib/raspi-firmware/"
"""Where the package has them, and a root file system that is made into a disk."""


def build_firmware(
    output_dir: Path, cache_dir: Path, progress: Progress = silent, *, refresh: bool = False
) -> dict[str, Path]:
    """Take the files out of Debian's package; returns them by the name the board asks for.

    Args:
        output_dir: Where ``raspberrypi-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        refresh: Ask Debian for a newer package even if the files are there.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    key = key_of({"builder": source_digest("hostler.build.raspberrypi", "hostler.build.apt")})
    place = kept(
        output_dir, "raspberrypi", key, lambda empty: _make(empty, cache_dir, progress), fresh=refresh
    )
    return {name: place / name for name in FILES}


def _make(place: Path, cache_dir: Path, progress: Progress) -> None:
    apt = Apt("arm64", cache_dir, progress, beside="non-free-firmware")
    archives = apt.fetch((_PACKAGE,), lambda package: package.name == _PACKAGE)
    wanted = {f"{HOME}{name}": name for name in FILES}
    found = {
        wanted[member.path]: member.data
        for archive in archives
        for member in deb.members(archive.path, wanted.__contains__)
    }
    absent = [name for name in FILES if name not in found]
    if absent:
        raise PackageError(f"{_PACKAGE} holds no {', '.join(absent)}")
    for name, data in found.items():
        (place / name).write_bytes(data)
    (place / "packages.json").write_text(json.dumps(describe(archives), indent=1) + "\n")
