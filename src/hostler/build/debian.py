"""The ``debian`` image: a real, small Debian for amd64 that starts from BIOS and from UEFI.

Made by mmdebstrap from packages in our cache, so a second build needs no network. Its kernel is
Debian's *cloud* kernel: virtio, SATA, NVMe and the network cards of virtual machines, no more.
User ``root``, password ``hostler``; network by DHCP; ssh starts on demand.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build import disk, grub
from hostler.build.account import PASSWORD_HASH
from hostler.build.apt import Apt, describe
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.errors import BuildError
from hostler.build.image import DiskImage
from hostler.build.progress import silent
from hostler.build.tool import find, run
from hostler.images.disk_file import embed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.build.apt import Archive
    from hostler.build.progress import Progress

PACKAGES = (
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "procps",
    "openssh-server",
    "ca-certificates",
    "less",
    "nano",
)
_ARCH = "amd64"
_STAGES = 5
_MMDEBSTRAP_DEADLINE = 1800.0
_HELPER_DEADLINE = 600.0
_ESP_BYTES = 8 * disk.MIB
_DISK = "de61a000-12f0-4d3f-9c5a-0b3a7f1e0001"
_PARTITIONS = tuple(f"de61a000-12f0-4d3f-9c5a-0b3a7f1e001{number}" for number in range(3))
_ROOT = "de61a000-12f0-4d3f-9c5a-0b3a7f1e0020"
# The root is the third partition of the disk GRUB itself came from; /vmlinuz follows kernel updates.
_GRUB_CFG = f"""\
serial --unit=0 --speed=115200
terminal_output console serial
regexp --set=1:disk '^([^,]+),' "$root"
set root="$disk,gpt3"
linux /vmlinuz root=UUID={_ROOT} ro console=tty0 console=ttyS0,115200
initrd /initrd.img
boot
"""
_LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
)


def build_debian(
    output_dir: Path, cache_dir: Path, progress: Progress = silent, *, refresh: bool = False
) -> DiskImage:
    """Build the ``debian`` image (amd64), or find it where an earlier call left it.

    As root it is built in mmdebstrap's root mode, else in user namespaces, which need subordinate
    ids for the user in ``/etc/subuid`` and ``/etc/subgid``.

    Args:
        output_dir: Where ``debian-amd64-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        refresh: Ask Debian for newer packages even if there is an image.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    key = key_of(
        {
            "arch": _ARCH,
            "builder": source_digest("hostler.build", "hostler.images.disk_file", "hostler.wire.newc"),
        }
    )
    place = kept(
        output_dir, f"debian-{_ARCH}", key, lambda place: _make(place, cache_dir, progress), fresh=refresh
    )
    progress("image debian amd64", _STAGES, _STAGES)
    path = place / "disk.raw"
    return DiskImage("debian", _ARCH, path, path.stat().st_size, place / "packages.json", r"debian login: ?")


def _make(place: Path, cache_dir: Path, progress: Progress) -> None:
    stage = "image debian amd64"
    progress(stage, 0, _STAGES)
    apt = Apt(_ARCH, cache_dir, progress)
    archives = apt.fetch(["?essential", "apt", *PACKAGES])
    bootloader = apt.fetch(grub.PACKAGES, lambda package: package.name in grub.PACKAGES)
    progress(stage, 1, _STAGES)

    # Without root the tree belongs to users of a namespace, who cannot look into somebody's home.
    work = place if os.geteuid() == 0 else Path("/var/tmp")  # noqa: S108 - a directory of our own below it
    with tempfile.TemporaryDirectory(prefix="hostler-debian-", dir=work) as scratch_name:
        scratch = Path(scratch_name)
        scratch.chmod(0o755)
        root = scratch / "root"
        try:
            _repository(scratch / "repository", apt, archives)
            _bootstrap(scratch, root, apt)
            progress(stage, 2, _STAGES)
            size = _filesystem(scratch / "root.ext4", root)
        finally:
            _remove(root)
        progress(stage, 3, _STAGES)
        with grub.Grub([archive.path for archive in bootloader]) as tool:
            files = {"grub/grub.cfg": _GRUB_CFG.encode(), "EFI/BOOT/BOOTX64.EFI": tool.efi("/grub")}
            disk.fat_image(scratch / "esp.fat", _ESP_BYTES, "ESP", "de61a000", files)
            partitions = [
                disk.DiskPart("bios", disk.TYPE_BIOS_BOOT, disk.MIB, _PARTITIONS[0]),
                disk.DiskPart("esp", disk.TYPE_EFI_SYSTEM, _ESP_BYTES, _PARTITIONS[1], scratch / "esp.fat"),
                disk.DiskPart("root", disk.TYPE_LINUX, size, _PARTITIONS[2], scratch / "root.ext4"),
            ]
            disk.assemble(place / "disk.raw", partitions, _DISK)
            offset = disk.starts(partitions)[0]
            embed(place / "disk.raw", tool.boot_sector(), tool.bios_core("(,gpt2)/grub"), offset, disk.MIB)
    progress(stage, 4, _STAGES)
    (place / "packages.json").write_text(json.dumps(describe([*archives, *bootloader]), indent=1) + "\n")


def _repository(place: Path, apt: Apt, archives: Sequence[Archive]) -> None:
    """A flat package source of ``archives``, whose files apt checked against Debian's signatures already."""
    place.mkdir()
    for archive in archives:
        target = place / archive.path.name
        try:
            os.link(archive.path, target)
        except OSError:
            shutil.copyfile(archive.path, target)
    index = apt.describe_index(archives).encode()
    (place / "Packages").write_bytes(index)
    release = f"Origin: Debian\nLabel: Debian\nSuite: {apt.release}\nCodename: {apt.release}\n"
    release += f"Architectures: {_ARCH}\nComponents: main\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n"
    release += f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    (place / "Release").write_text(release)


def _bootstrap(scratch: Path, root: Path, apt: Apt) -> None:
    before, after = scratch / "before.sh", scratch / "after.sh"
    scripts = resources.files("hostler.build")
    before.write_bytes((scripts / "debian_before.sh").read_bytes())
    after.write_bytes((scripts / "debian_after.sh").read_bytes())
    sources = scratch / "debian.sources"
    shutil.copyfile(apt.sources_file, sources)
    variables = {"ROOT_UUID": _ROOT, "PASSWORD_HASH": PASSWORD_HASH, "SOURCES": str(sources)}
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    # In root mode mmdebstrap mounts proc and sys into the tree. In a mount namespace of its own they go with
    # it however it ends, and nobody who cleans up afterwards walks into them.
    aside = [find("unshare", "util-linux"), "--mount"] if os.geteuid() == 0 else []
    command: list[str | Path] = [
        *aside,
        find("mmdebstrap", "mmdebstrap"),
        "--quiet",
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        "--variant=apt",
        "--format=directory",
        f"--architectures={_ARCH}",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=APT::Sandbox::User "root"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f'--essential-hook=sh {shlex.quote(str(before))} "$1"',
        f'--customize-hook={settings} sh {shlex.quote(str(after))} "$1"',
        apt.release,
        root,
        f"deb [trusted=yes] copy://{scratch / 'repository'} ./",
    ]
    run(command, deadline=_MMDEBSTRAP_DEADLINE, environment={"SOURCE_DATE_EPOCH": "1"})


def _filesystem(path: Path, root: Path) -> int:
    """Make the root file system, with room for updates and logs; returns its size in bytes."""
    helper = _helper()
    used = int(
        run([*helper, "du", "-s", "-B1", "--apparent-size", root], deadline=_HELPER_DEADLINE).split()[0]
    )
    if used < 64 * disk.MIB:
        raise BuildError(f"mmdebstrap left only {used} bytes in {root}")
    size = (used * 3 // 2 // (64 * disk.MIB) + 2) * 64 * disk.MIB
    path.touch()
    if helper:
        path.chmod(0o666)  # written by a user of the namespace
    disk.ext4_image(path, size, "debian-root", _ROOT, root, helper)
    return size


def _remove(root: Path) -> None:
    if root.exists():
        # What is in it belongs to users of the namespace, the place itself is ours.
        run([*_helper(), "find", root, "-xdev", "-mindepth", "1", "-delete"], deadline=_HELPER_DEADLINE)
        root.rmdir()


def _helper() -> list[str]:
    """What runs a command as the root of the tree that mmdebstrap made."""
    return [] if os.geteuid() == 0 else [find("mmdebstrap", "mmdebstrap"), "--unshare-helper"]
