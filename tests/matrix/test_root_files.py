"""A real root file system, packed as a tar, imported, boots from the disk it became to its login prompt."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from board import OVMF, UBOOT, Board, login

from hostler.build.debian import build_debian
from hostler.build.loaders import build_loaders
from hostler.build.media_loaders import build_media_loaders
from hostler.build.tiny import build_tiny
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.bootable import DiskTerms
from root_trees import Disk, run

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.matrix, pytest.mark.qemu]

CACHE = Path(__file__).parents[2] / "var" / "cache"
BUILT = CACHE / "built"


def packed(disk: Path, place: Path, more: Mapping[str, bytes]) -> Path:
    """Pack the last partition of a disk as a tar, owners as they are there, and some files besides."""
    root = Disk(disk)
    copy = place / "copy"
    copy.symlink_to(root.path)
    tree = place / "tree"
    tree.mkdir()
    run("debugfs", "-R", f"rdump / {tree}", Disk(copy).root())
    for name, content in more.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    archive = place / "tree.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tree, ".")
    return archive


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk made of Debian's tree."""
    place = tmp_path_factory.mktemp("debian")
    archive = packed(build_debian(BUILT, CACHE).path, place, {})
    loaders = {**build_loaders("amd64", BUILT, CACHE), **build_media_loaders("amd64", BUILT, CACHE)}
    store = ImageStore(place / "store")
    terms = DiskTerms("amd64", ("x86-bios", "x86-uefi"), loaders=loaders)
    return Disk.of(store, import_image(archive, store, disk=terms).index, place / "disk").path


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_debian_boots_from_the_disk_it_became(debian: Path, firmware: str) -> None:
    """One disk for both; every unit has started, and the root is the one that its table names."""
    own = ("-bios", OVMF) if firmware == "uefi" else ()
    drive = f"file={debian},format=raw,snapshot=on,if=virtio"
    with Board("amd64", "-drive", drive, "-nic", "none", *own) as board:
        login(board, "debian", 600)
        board.type("systemctl is-system-running --wait; findmnt -n /")
        board.expect(r"running\s+/ +/dev/vda3 ext4", 300)


def test_u_boot_finds_the_system_by_extlinux_conf(tmp_path: Path) -> None:
    """arm64: U-Boot's standard boot reads it from the root, and the kernel and the initramfs too."""
    tiny = build_tiny("arm64", BUILT, CACHE).path
    files = {
        f"boot/{ours}": Disk(tiny).fat_file(1, theirs)
        for ours, theirs in (("vmlinuz-tiny", "kernel"), ("initrd.img-tiny", "initrd"))
    }
    archive = packed(tiny, tmp_path, files)
    store = ImageStore(tmp_path / "store")
    made = import_image(archive, store, disk=DiskTerms("arm64", ("arm64-uboot",)))
    disk = Disk.of(store, made.index, tmp_path / "disk").path
    drive = f"file={disk},format=raw,snapshot=on,if=none,id=disk"
    with Board("arm64", "-drive", drive, "-device", "virtio-blk-device,drive=disk", "-bios", UBOOT) as board:
        board.expect("/boot/extlinux/extlinux.conf", 300)
        login(board, "tiny", 600)
