"""The tiny image starts on a PC's firmwares and takes a login; from U-Boot the main job starts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from board import OVMF, Board, login

from hostler.build.tiny import build_tiny

pytestmark = pytest.mark.qemu


def disk(path: Path, interface: str = "virtio") -> list[str]:
    return ["-drive", f"file={path},format=raw,snapshot=on,if={interface}"]


def test_starts_from_bios(packages: Path, images: Path) -> None:
    """amd64: SeaBIOS reads the first sector, GRUB the FAT partition, Linux the ext4 root."""
    image = build_tiny("amd64", images, packages)
    with Board("amd64", *disk(image.path), "-nic", "none") as board:
        login(board, "tiny", 120)


def test_starts_from_uefi_and_sata(packages: Path, images: Path) -> None:
    """amd64: OVMF finds EFI/BOOT/BOOTX64.EFI by itself; the disk may be SATA."""
    image = build_tiny("amd64", images, packages)
    with Board("amd64", *disk(image.path, "ide"), "-nic", "none", "-bios", OVMF) as board:
        login(board, "tiny", 180)


def test_is_the_same_whoever_builds_it(packages: Path, images: Path, tmp_path: Path) -> None:
    """A second call finds the first one's image; nothing is made again."""
    first = build_tiny("amd64", images, packages)
    stages: list[str] = []
    second = build_tiny(
        "amd64", images, tmp_path / "empty", lambda stage, _done, _total: stages.append(stage)
    )
    assert second == first
    assert set(stages) == {"image tiny amd64"}
