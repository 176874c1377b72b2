"""Whole images as projects publish them, made small by the tools they use: they come out byte by byte."""

from __future__ import annotations

import lzma
import subprocess
from typing import TYPE_CHECKING

from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from root_trees import Disk, run, terms

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def imported(source: Path, tmp_path: Path) -> tuple[str, bytes]:
    """Import an image and return what it was packed with and the disk, as large as the image."""
    store = ImageStore(tmp_path / "store")
    made = import_image(source, store, disk=terms(tmp_path))
    return made.compression, Disk.of(store, made.index, tmp_path / "disk").path.read_bytes()


def test_raspberry_pi_os(tmp_path: Path) -> None:
    """``.img.xz``: an MBR, a FAT32 with ``config.txt``, an ext4."""
    image, fat, root = (tmp_path / name for name in ("os.img", "boot", "root"))
    for path, size in ((image, 64), (fat, 34), (root, 16)):
        path.touch()
        with path.open("r+b") as file:
            file.truncate(size * MIB)
    table = "label: dos\nlabel-id: 0x1234abcd\nstart=8192, size=69632, type=c\nstart=81920, type=83\n"
    subprocess.run(["/usr/sbin/sfdisk", "-q", image], input=table.encode(), check=True, timeout=60)
    run("mkfs.vfat", "-F", "32", str(fat))
    (tmp_path / "config.txt").write_text("arm_64bit=1\n")
    run("mcopy", "-i", str(fat), str(tmp_path / "config.txt"), "::/config.txt")
    run("mke2fs", "-q", "-F", "-t", "ext4", str(root))
    with image.open("r+b") as file:
        for path, start in ((fat, 8192), (root, 81920)):
            file.seek(start * 512)
            file.write(path.read_bytes())
    packed = tmp_path / "os.img.xz"
    packed.write_bytes(lzma.compress(image.read_bytes(), preset=0))
    assert imported(packed, tmp_path) == ("xz", image.read_bytes())
    assert Disk(tmp_path / "disk").fat_file(1, "config.txt") == b"arm_64bit=1\n"


def test_a_hybrid_iso_is_written_as_it_is(tmp_path: Path) -> None:
    """It is a disk with a table and an ISO 9660 at once; said to be a disk, it is one."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"on the medium")
    (tmp_path / "efi").write_bytes(bytes(MIB))
    iso = tmp_path / "hybrid.iso"
    run(
        "xorriso", "-as", "mkisofs", "-quiet", "-V", "HYBRID", "-append_partition", "2", "0xef",
        str(tmp_path / "efi"), "-appended_part_as_gpt", "-o", str(iso), str(tmp_path / "tree"),
    )  # fmt: skip
    assert imported(iso, tmp_path) == ("raw", iso.read_bytes())
    shown = run("xorriso", "-indev", str(tmp_path / "disk"), "-find", "/file").decode()
    assert "/file" in shown
