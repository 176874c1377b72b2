"""What a partition holds, told of what mkfs and its kin write."""

from __future__ import annotations

from pathlib import Path

import pytest

from disk_files import MIB, tool
from hostler.model.volume import NOT_UNMOUNTED, VOLUME_HEAD_BYTES, Volume, swap_header, trouble, volume_of


def head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(VOLUME_HEAD_BYTES)


@pytest.mark.parametrize(
    ("made_by", "volume"),
    [
        (("mke2fs", "-q", "-t", "ext4"), Volume.EXT),
        (("mke2fs", "-q", "-t", "ext2"), Volume.EXT),
        (("mkfs.fat", "-F", "16"), Volume.FAT),
        (("mkfs.fat", "-F", "32"), Volume.FAT),
        (("mkswap",), Volume.SWAP),
        (("true",), Volume.EMPTY),
    ],
)
def test_a_volume_is_what_made_it(tmp_path: Path, made_by: tuple[str, ...], volume: Volume) -> None:
    """Neither another one nor in trouble."""
    path = tmp_path / "volume"
    path.write_bytes(bytes(40 * MIB))
    tool(*made_by, path)
    assert volume_of(head(path)) is volume
    assert trouble(head(path)) == ""
    assert swap_header(head(path)) == (4096 if volume is Volume.SWAP else 0)


def test_an_ext_that_is_not_clean_is_in_trouble(tmp_path: Path) -> None:
    """A journal to be replayed, and errors that the kernel met."""
    path = tmp_path / "volume"
    path.write_bytes(bytes(40 * MIB))
    tool("mke2fs", "-q", "-t", "ext4", path)
    tool("debugfs", "-w", "-R", "feature needs_recovery", path)
    assert trouble(head(path)) == NOT_UNMOUNTED
    tool("debugfs", "-w", "-R", "ssv state 3", path)
    assert trouble(head(path)) == "it has errors"


@pytest.mark.parametrize(
    ("content", "volume"),
    [
        (b"LUKS\xba\xbe\x00\x02", Volume.LUKS),
        (b"XFSB", Volume.XFS),
        (b"\xeb\x52\x90NTFS    ", Volume.NTFS),
        (bytes(512) + b"LABELONE", Volume.LVM),
        (bytes(65536 + 64) + b"_BHRfS_M", Volume.BTRFS),
        (bytes(4086) + b"S1SUSPEND\0", Volume.SLEEP),
        (b"who knows", Volume.UNKNOWN),
    ],
)
def test_what_no_tool_of_ours_makes_is_known_by_its_mark(content: bytes, volume: Volume) -> None:
    """The marks as libblkid has them."""
    assert volume_of(content.ljust(VOLUME_HEAD_BYTES, b"\0")) is volume
