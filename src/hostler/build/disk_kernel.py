"""A Debian kernel for root file systems without one: a tar of the kernel, its modules and an initramfs.

The initramfs has the drivers that the agent has for disks and networks, loads what the machine has, and finds
the root by the name on the command line. ``depmod`` writes the tables of the modules, as Debian's packages do
when they are installed: every ``modprobe`` and udev reads those.
"""

from __future__ import annotations

import io
import json
import stat
import tarfile
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from hostler.build import deb
from hostler.build.apt import ARCHITECTURES, Apt, describe
from hostler.build.cache import file_digest, kept, key_of, source_digest
from hostler.build.errors import PackageError
from hostler.build.hardware import agent_wants
from hostler.build.initramfs import pack, skeleton
from hostler.build.kernel import read_kernel
from hostler.build.progress import silent
from hostler.build.raspberrypi import HOME as FIRMWARE_HOME
from hostler.build.raspberrypi import build_firmware
from hostler.build.tool import find, run
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostler.build.deb import Member
    from hostler.build.progress import Progress

_STAGES = 4
_LEVEL = 3  # it travels once; 340 MB become 90 in seconds
_DEPMOD_DEADLINE = 300.0
_MODULES = "usr/lib/modules/"
_DEVICE_TREES = "usr/lib/linux-image-"
_LATER = 1_700_000_000  # one time for all: the same package gives the same tar


def build_disk_kernel(
    arch: str,
    output_dir: Path,
    cache_dir: Path,
    progress: Progress = silent,
    *,
    package: Path | None = None,
    raspberry_pi: bool = False,
    refresh: bool = False,
) -> Path:
    """Build the tar, or find it where an earlier call left it; returns it, compressed with zstd.

    Args:
        arch: ``amd64`` or ``arm64``.
        output_dir: Where ``disk-kernel-<arch>-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        package: A ``linux-image-…`` package; None: Debian's newest for the architecture.
        raspberry_pi: Whether the firmware of a Raspberry Pi comes along.
        refresh: Ask Debian for a newer package even if there is a tar.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    if arch not in ARCHITECTURES:
        raise PackageError(f'unknown architecture "{arch}"; known are {", ".join(ARCHITECTURES)}')
    firmware = build_firmware(output_dir, cache_dir, progress) if raspberry_pi else {}
    key = key_of(
        {
            "arch": arch,
            "builder": source_digest("hostler.build", "hostler.wire.newc"),
            "package": None if package is None else file_digest(package),
            "firmware": raspberry_pi,
        }
    )

    def make(place: Path) -> None:
        _make(arch, package, firmware, place, cache_dir, progress)

    place = kept(output_dir, f"disk-kernel-{arch}", key, make, fresh=refresh)
    progress(f"kernel {arch}", _STAGES, _STAGES)
    return place / "kernel.tar.zst"


def _make(
    arch: str,
    package: Path | None,
    firmware: dict[str, Path],
    place: Path,
    cache_dir: Path,
    progress: Progress,
) -> None:
    stage = f"kernel {arch}"
    progress(stage, 0, _STAGES)
    apt = Apt(arch, cache_dir, progress)
    roots = ("busybox-static", *((f"linux-image-{arch}",) if package is None else ()))
    archives = apt.fetch(roots, lambda one: one.name == "busybox-static" or _is_kernel(one.name))
    packages = {archive.package.name: archive.path for archive in archives}
    image = package or next(path for name, path in packages.items() if _is_kernel(name))
    progress(stage, 1, _STAGES)
    kernel = read_kernel(image, lambda inner: agent_wants(arch, inner))
    busybox = next(deb.members(packages["busybox-static"], lambda path: path == "usr/bin/busybox")).data
    init = (resources.files("hostler.build") / "disk_init.sh").read_bytes()
    initrd = pack([*skeleton(busybox), newc.file("init", init, 0o755), *kernel.entries()])
    progress(stage, 2, _STAGES)
    with tempfile.TemporaryDirectory(prefix="making-", dir=place) as scratch:
        tables = _depmod(image, kernel.release, Path(scratch))
        progress(stage, 3, _STAGES)
        made = {
            f"boot/vmlinuz-{kernel.release}": kernel.image,
            f"boot/initrd.img-{kernel.release}": initrd,
            **tables,
            **{f"{FIRMWARE_HOME}{name}": path.read_bytes() for name, path in firmware.items()},
        }
        links = {
            "vmlinuz": f"boot/vmlinuz-{kernel.release}",
            "initrd.img": f"boot/initrd.img-{kernel.release}",
        }
        _write(place / "kernel.tar.zst", deb.members(image, _is_part), made, links)
    (place / "packages.json").write_text(json.dumps(describe(archives), indent=1) + "\n")


def _is_kernel(name: str) -> bool:
    """Whether it is the package of a kernel itself, whose version is in its name."""
    return name.startswith("linux-image-") and name.removeprefix("linux-image-")[:1].isdigit()


def _is_part(path: str) -> bool:
    return path.startswith((_MODULES, _DEVICE_TREES, "boot/config-"))


def _depmod(package: Path, release: str, scratch: Path) -> dict[str, bytes]:
    """Return the tables of a package's modules by their paths in the tar."""
    for member in deb.members(package, lambda path: path.startswith(_MODULES)):
        if not member.is_link:
            path = scratch / member.path.removeprefix("usr/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(member.data)
    run([find("depmod", "kmod"), "-b", scratch, release], deadline=_DEPMOD_DEADLINE)
    home = scratch / "lib/modules" / release
    return {
        f"{_MODULES}{release}/{path.name}": path.read_bytes()
        for path in sorted(home.glob("modules.*"))
        if path.name not in _OF_THE_PACKAGE
    }


_OF_THE_PACKAGE = ("modules.order", "modules.builtin", "modules.builtin.modinfo")


def _write(path: Path, members: Iterable[Member], made: dict[str, bytes], links: dict[str, str]) -> None:
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor(level=_LEVEL, threads=2).stream_writer(file, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, mode, data in _entries(members, made, links):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = stat.S_IMODE(mode), _LATER
            if stat.S_ISLNK(mode):
                entry.type, entry.linkname = tarfile.SYMTYPE, data.decode()
                tar.addfile(entry)
            else:
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))


def _entries(
    members: Iterable[Member], made: dict[str, bytes], links: dict[str, str]
) -> Iterator[tuple[str, int, bytes]]:
    for name, data in made.items():
        yield name, stat.S_IFREG | 0o644, data
    for name, target in links.items():
        yield name, stat.S_IFLNK | 0o777, target.encode()
    for member in members:
        yield member.path, member.mode, member.data
