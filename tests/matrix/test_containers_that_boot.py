"""A container's image without a kernel becomes a disk that boots: on a PC, by U-Boot, on a Raspberry Pi."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest
from board import OVMF, UBOOT, Board

from hostler.build import deb
from hostler.build.apt import Apt
from hostler.build.disk_kernel import build_disk_kernel
from hostler.build.loaders import build_loaders
from hostler.build.media_loaders import build_media_loaders
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.bootable import DiskTerms
from root_trees import Disk, Tar

pytestmark = [pytest.mark.matrix, pytest.mark.qemu]

CACHE = Path(__file__).parents[2] / "var" / "cache"
BUILT = CACHE / "built"
INIT = b"""#!/bin/sh
mount -t tmpfs tmpfs /tmp
modprobe loop && echo its-own-init-$(cat /proc/1/comm)-on-$(uname -m)
echo root-is-$(sed -n 's/.* \\/ ext4 \\(r[ow]\\).*/\\1/p' /proc/mounts)
poweroff -f
"""


def container(arch: str, place: Path, init: bytes = b"") -> Path:
    """Have umoci make a layout whose one layer is busybox, and perhaps an init; returns its tar."""
    [archive] = Apt(arch, CACHE).fetch(("busybox-static",), lambda one: one.name == "busybox-static")
    [busybox] = deb.members(archive.path, lambda path: path == "usr/bin/busybox")
    tar = Tar().folder("bin").folder("etc").folder("proc").folder("tmp").folder("root")
    tar.add("bin/busybox", busybox.data, mode=0o755)
    for name in ("sh", "cat", "echo", "ls", "mount", "modprobe", "poweroff", "sed", "uname"):
        tar.link(f"bin/{name}", "busybox")
    if init:
        tar.folder("sbin").add("sbin/init", init, mode=0o755)
    (place / "layer.tar").write_bytes(tar.bytes())
    image = f"{place}/layout:latest"
    for words in (
        ("init", "--layout", f"{place}/layout"), ("new", "--image", image),
        ("config", "--image", image, "--architecture", arch, "--os", "linux"),
        ("raw", "add-layer", "--image", image, f"{place}/layer.tar"),
    ):  # fmt: skip
        subprocess.run(["umoci", *words], check=True, timeout=60)
    with tarfile.open(place / "layout.tar", "w") as packed:
        packed.add(place / "layout", ".")
    return place / "layout.tar"


def loaders() -> dict[str, Path]:
    """Return what an agent for amd64 brings."""
    return {**build_loaders("amd64", BUILT, CACHE), **build_media_loaders("amd64", BUILT, CACHE)}


def disk(source: Path, place: Path, terms: DiskTerms) -> Disk:
    """Import it."""
    store = ImageStore(place / "store")
    return Disk.of(store, import_image(source, store, disk=terms).index, place / "disk")


def test_a_container_without_an_init_boots_to_a_shell(tmp_path: Path) -> None:
    """BIOS: Debian's kernel, its modules where modprobe finds them, and the root to be written to."""
    terms = DiskTerms(
        "amd64", ("x86-bios",), loaders=loaders(), kernel=build_disk_kernel("amd64", BUILT, CACHE)
    )
    made = disk(container("amd64", tmp_path), tmp_path, terms)
    drive = f"file={made.path},format=raw,if=virtio"
    with Board("amd64", "-drive", drive, "-nic", "none") as board:
        board.expect("a shell on the console instead", 600)
        board.expect("# ?$", 60)
        board.type("modprobe dummy && echo kept-$((6 * 7)) >/root/mark && cat /root/mark; uname -r")
        board.expect(r"kept-42\s+6\.[0-9.]+-[0-9]+-amd64", 120)


def test_a_containers_own_init_is_started(tmp_path: Path) -> None:
    """UEFI and NVMe: what lies at /sbin/init is process 1, and the root is mounted for reading as it asks."""
    loaders = {**build_loaders("amd64", BUILT, CACHE), **build_media_loaders("amd64", BUILT, CACHE)}
    terms = DiskTerms(
        "amd64", ("x86-uefi",), loaders=loaders, kernel=build_disk_kernel("amd64", BUILT, CACHE)
    )
    made = disk(container("amd64", tmp_path, INIT), tmp_path, terms)
    drive = ("-drive", f"file={made.path},format=raw,if=none,id=d", "-device", "nvme,serial=1,drive=d")
    with Board("amd64", *drive, "-nic", "none", "-bios", OVMF) as board:
        board.expect("its-own-init-(init|sh)-on-x86_64", 600)
        board.expect("root-is-ro", 60)
        assert board.wait(60) == 0


def test_u_boot_starts_a_container(tmp_path: Path) -> None:
    """arm64: the same by extlinux.conf."""
    terms = DiskTerms("arm64", ("arm64-uboot",), kernel=build_disk_kernel("arm64", BUILT, CACHE))
    made = disk(container("arm64", tmp_path, INIT), tmp_path, terms)
    drive = ("-drive", f"file={made.path},format=raw,if=none,id=d", "-device", "virtio-blk-device,drive=d")
    with Board("arm64", *drive, "-bios", UBOOT) as board:
        board.expect("its-own-init-(init|sh)-on-aarch64", 900)


def test_a_raspberry_pi_boots_a_container_from_its_card(tmp_path: Path) -> None:
    """What config.txt names is started, as by the firmware that QEMU lacks; the root is on the card."""
    kernel = build_disk_kernel("arm64", BUILT, CACHE, raspberry_pi=True)
    terms = DiskTerms("arm64", ("raspberrypi3", "raspberrypi4"), kernel=kernel)
    made = disk(container("arm64", tmp_path, INIT), tmp_path, terms)
    config = made.fat_file(1, "config.txt").decode().splitlines()
    names = {
        "-kernel": next(line.removeprefix("kernel=") for line in config if line.startswith("kernel=")),
        "-initrd": next(line.split()[1] for line in config if line.startswith("initramfs ")),
        "-dtb": "bcm2837-rpi-3-b.dtb",
    }
    assert made.fat_file(1, "start4.elf")
    assert made.fat_file(1, "bootcode.bin")
    words = []
    for option, name in names.items():
        (tmp_path / name).write_bytes(made.fat_file(1, name))
        words += [option, str(tmp_path / name)]
    # QEMU has cards of powers of two alone.
    with made.path.open("r+b") as file:
        file.truncate(1 << (made.path.stat().st_size - 1).bit_length())
    words += ["-append", made.fat_file(1, "cmdline.txt").decode().strip()]
    words += ["-drive", f"file={made.path},format=raw,if=sd"]
    with Board("raspberrypi3", "-smp", "4", *words) as board:
        board.expect("its-own-init-(init|sh)-on-aarch64", 1200)
        board.expect("root-is-ro", 60)
