"""The ``tiny`` image: a Debian kernel, busybox and a login prompt; boots in seconds, tests everything.

One raw disk per architecture, the root on ext4. amd64 starts from BIOS and from UEFI (GRUB); arm64
from any U-Boot with the standard boot flow, by ``extlinux/extlinux.conf``.
User ``root``, password ``hostler``: it is for showing and testing.
"""

from __future__ import annotations

import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build import deb, disk, grub
from hostler.build.account import PASSWORD_HASH
from hostler.build.apt import ARCHITECTURES, Apt, describe
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.errors import PackageError
from hostler.build.hardware import tiny_wants
from hostler.build.image import DiskImage
from hostler.build.initramfs import APPLETS, pack, skeleton
from hostler.build.kernel import read_kernel
from hostler.build.progress import silent
from hostler.build.tool import find
from hostler.images.disk_file import embed
from hostler.wire import newc

if TYPE_CHECKING:
    from hostler.build.progress import Progress

_ROOT_BYTES = 24 * disk.MIB
_STAGES = 4
_DISK = "7d0c4a3e-5b0e-4d3f-9c5a-0b3a7f1e0001"
_PARTITIONS = tuple(f"7d0c4a3e-5b0e-4d3f-9c5a-0b3a7f1e001{number}" for number in range(4))
_ROOT = "7d0c4a3e-5b0e-4d3f-9c5a-0b3a7f1e0020"
_GRUB_CFG = """\
serial --unit=0 --speed=115200
terminal_output console serial
linux /kernel root=UUID={root} console=tty0 console=ttyS0,115200
initrd /initrd
boot
"""
# No console= here: the board's own device tree names its console.
_EXTLINUX = """\
default tiny
timeout 1
label tiny
    kernel /kernel
    initrd /initrd
    append root=UUID={root}
"""


def build_tiny(
    arch: str, output_dir: Path, cache_dir: Path, progress: Progress = silent, *, refresh: bool = False
) -> DiskImage:
    """Build the ``tiny`` image for ``arch``, or find it where an earlier call left it.

    Args:
        arch: ``amd64`` or ``arm64``.
        output_dir: Where ``tiny-<arch>-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        refresh: Ask Debian for newer packages even if there is an image.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    if arch not in ARCHITECTURES:
        raise PackageError(f'unknown architecture "{arch}"; known are {", ".join(ARCHITECTURES)}')
    key = key_of(
        {
            "arch": arch,
            "builder": source_digest("hostler.build", "hostler.images.disk_file", "hostler.wire.newc"),
        }
    )
    place = kept(
        output_dir, f"tiny-{arch}", key, lambda place: _make(arch, place, cache_dir, progress), fresh=refresh
    )
    progress(f"image tiny {arch}", _STAGES, _STAGES)
    path = place / "disk.raw"
    return DiskImage("tiny", arch, path, path.stat().st_size, place / "packages.json", r"tiny login: ?")


def _make(arch: str, place: Path, cache_dir: Path, progress: Progress) -> None:
    stage = f"image tiny {arch}"
    progress(stage, 0, _STAGES)
    apt = Apt(arch, cache_dir, progress)
    wanted = ("linux-image-", "busybox-static", *(grub.PACKAGES if arch == "amd64" else ()))
    roots = (f"linux-image-{arch}", *wanted[1:])
    archives = apt.fetch(roots, lambda package: package.name.startswith(wanted))
    packages = {archive.package.name: archive.path for archive in archives}
    progress(stage, 1, _STAGES)

    kernel_name = next(
        name for name in packages if name.startswith("linux-image-") and name != f"linux-image-{arch}"
    )
    kernel = read_kernel(packages[kernel_name], tiny_wants)
    busybox = next(deb.members(packages["busybox-static"], lambda path: path == "usr/bin/busybox")).data
    init = resources.files("hostler.build") / "tiny_init.sh"
    initrd = pack([*skeleton(busybox), newc.file("init", init.read_bytes(), 0o755), *kernel.entries()])
    progress(stage, 2, _STAGES)

    with tempfile.TemporaryDirectory(prefix="making-", dir=place) as scratch_name:
        scratch = Path(scratch_name)
        root = scratch / "root"
        _root_tree(root, busybox)
        # Files of a plain user look like root's under fakeroot, which is what the image wants.
        prefix = () if os.geteuid() == 0 else (find("fakeroot", "fakeroot"),)
        disk.ext4_image(scratch / "root.ext4", _ROOT_BYTES, "tiny-root", _ROOT, root, prefix)
        progress(stage, 3, _STAGES)
        files = {"kernel": kernel.image, "initrd": initrd}
        if arch == "amd64":
            _amd64_disk(place / "disk.raw", scratch, files, [packages[name] for name in grub.PACKAGES])
        else:
            files["extlinux/extlinux.conf"] = _EXTLINUX.format(root=_ROOT).encode()
            _assemble(place / "disk.raw", scratch, files, ())
    (place / "packages.json").write_text(json.dumps(describe(archives), indent=1) + "\n")


def _amd64_disk(path: Path, scratch: Path, files: dict[str, bytes], archives: list[Path]) -> None:
    with grub.Grub(archives) as tool:
        files["grub/grub.cfg"] = _GRUB_CFG.format(root=_ROOT).encode()
        files["EFI/BOOT/BOOTX64.EFI"] = tool.efi("/grub")
        bios = disk.DiskPart("bios", disk.TYPE_BIOS_BOOT, disk.MIB, _PARTITIONS[0])
        _assemble(path, scratch, files, (bios,))
        offset = disk.starts([bios])[0]
        embed(path, tool.boot_sector(), tool.bios_core("(,gpt2)/grub"), offset, bios.size)


def _assemble(path: Path, scratch: Path, files: dict[str, bytes], before: tuple[disk.DiskPart, ...]) -> None:
    content = sum(len(data) for data in files.values())
    size = (content // disk.MIB + 4) * disk.MIB
    disk.fat_image(scratch / "boot.fat", size, "TINY-BOOT", "7d0c4a3e", files)
    disk.assemble(
        path,
        [
            *before,
            disk.DiskPart(
                "boot", disk.TYPE_EFI_SYSTEM, size, _PARTITIONS[1], scratch / "boot.fat", bootable=True
            ),
            disk.DiskPart("root", disk.TYPE_LINUX, _ROOT_BYTES, _PARTITIONS[2], scratch / "root.ext4"),
        ],
        _DISK,
    )


def _root_tree(root: Path, busybox: bytes) -> None:
    for name in (
        "dev",
        "etc/init.d",
        "mnt",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr/bin",
        "usr/lib",
        "var/log",
    ):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "root").chmod(0o700)
    for name in ("bin", "sbin"):
        (root / name).symlink_to("usr/bin")
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/sbin").symlink_to("bin")
    _write(root / "usr/bin/busybox", busybox, 0o755)
    for applet in APPLETS:
        (root / "usr/bin" / applet).symlink_to("busybox")
    scripts = resources.files("hostler.build")
    _write(root / "etc/init.d/rcS", (scripts / "tiny_rc.sh").read_bytes(), 0o755)
    _write(root / "etc/udhcpc.sh", (scripts / "tiny_udhcpc.sh").read_bytes(), 0o755)
    _write(root / "etc/getty.sh", (scripts / "tiny_getty.sh").read_bytes(), 0o755)
    _write(
        root / "etc/inittab",
        b"::sysinit:/etc/init.d/rcS\n::respawn:/etc/getty.sh\n::shutdown:/bin/umount -a -r\n",
    )
    _write(root / "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    _write(root / "etc/group", b"root:x:0:\ntty:x:5:\n")
    _write(root / "etc/shadow", f"root:{PASSWORD_HASH}:19000:0:99999:7:::\n".encode(), 0o600)
    _write(root / "etc/hostname", b"tiny\n")
    _write(root / "etc/issue", b"Hostler tiny image\n")
    _write(root / "etc/os-release", b'NAME=tiny\nID=tiny\nID_LIKE=debian\nPRETTY_NAME="Hostler tiny image"\n')
    _write(root / "etc/profile", b"export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n")


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.write_bytes(data)
    path.chmod(mode)
