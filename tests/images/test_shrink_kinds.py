"""File systems of other kinds than ext made smaller, judged by their own tools."""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from disk_files import MIB, Part, disk_of, partitions_of, piece, tool
from hostler.images.importer import import_image
from hostler.images.shrink import shrink
from hostler.images.shrink_estimate import estimate
from hostler.images.shrink_tools import NotShrunkError
from hostler.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator


def fat(tmp_path: Path, mib: int, bits: int, *words: str) -> tuple[Path, dict[str, bytes]]:
    """A FAT of which the beginning was emptied again; returns it, and what is in it."""
    path, rnd = tmp_path / "fat", random.Random(bits)
    with path.open("wb") as file:
        file.truncate(mib * MIB)
    tool("mkfs.fat", "-F", str(bits), "-n", "DATA", "-i", "1234abcd", *words, path)
    big, small = tmp_path / "big", tmp_path / "small"
    content: dict[str, bytes] = {}
    with big.open("wb") as file:
        file.truncate((mib - 20) * MIB)
    tool("mcopy", "-i", path, big, "::big")
    for place in ("", "a long name of a folder/", "a long name of a folder/inner/"):
        if place:
            tool("mmd", "-i", path, f"::{place[:-1]}")
        for number in range(3):
            content[f"{place}file {number}"] = rnd.randbytes(rnd.randrange(1, 300_000))
            small.write_bytes(content[f"{place}file {number}"])
            tool("mcopy", "-i", path, small, f"::{place}file {number}")
    tool("mdel", "-i", path, "::big")
    return path, content


@pytest.mark.parametrize(("bits", "mib", "words"), [(16, 140, ()), (32, 140, ("-s", "1"))])
def test_a_fat_is_shrunk_with_all_that_is_in_it(
    tmp_path: Path, bits: int, mib: int, words: tuple[str, ...]
) -> None:
    """Files behind the new end, and directories, are moved; its name, its serial and its kind stay."""
    source, content = fat(tmp_path, mib, bits, *words)
    disk = tmp_path / "disk"
    disk_of(disk, mib + 40, [Part(mib, source)])
    store = ImageStore(tmp_path / "store")
    about = estimate(store, store.index(import_image(disk, store).index))
    done = shrink(disk, lambda: None)
    assert (done.before, done.note) == ((mib + 40) * MIB, "")
    assert about is not None
    assert abs(about - done.size) <= 2 * MIB
    assert done.size == disk.stat().st_size < 100 * MIB
    after = piece(disk, partitions_of(disk)[0], tmp_path / "after")
    said = tool("fsck.fat", "-n", "-v", after)
    assert f"{bits} bit" in said or f"{bits} bits" in said
    told = tool("blkid", "-p", "-o", "export", after)
    assert {"LABEL=DATA", "UUID=1234-ABCD", f"VERSION=FAT{bits}"} <= set(told.splitlines())
    for name, wanted in content.items():
        found = tmp_path / "found"
        tool("mcopy", "-n", "-o", "-i", after, f"::{name}", found)
        assert found.read_bytes() == wanted


def test_a_fat_that_has_the_whole_disk_is_shrunk(tmp_path: Path) -> None:
    """There is no table then; the image ends behind it."""
    disk, content = fat(tmp_path, 120, 16)
    done = shrink(disk, lambda: None)
    assert (done.note, done.size) == ("", disk.stat().st_size)
    assert done.size < 100 * MIB
    tool("fsck.fat", "-n", disk)
    tool("mcopy", "-n", "-o", "-i", disk, "::file 1", tmp_path / "found")
    assert (tmp_path / "found").read_bytes() == content["file 1"]


@pytest.mark.netns
def test_a_btrfs_is_shrunk_with_its_subvolumes(tmp_path: Path) -> None:
    """What lies behind the new end is moved by Linux; nothing stays mounted."""
    source = tmp_path / "btrfs"
    with source.open("wb") as file:
        file.truncate(700 * MIB)
    tool("mkfs.btrfs", "-q", source)
    content = os.urandom(10 * MIB)
    with mounted(source, tmp_path) as root:
        (root / "first").write_bytes(os.urandom(100 * MIB))
        tool("sync", "-f", root)
        tool("btrfs", "subvolume", "create", root / "home")
        (root / "home/data").write_bytes(content)
        tool("sync", "-f", root)
        (root / "first").unlink()
    disk = tmp_path / "disk"
    disk_of(disk, 800, [Part(700, source)])
    done = shrink(disk, lambda: None)
    assert done.note == ""
    assert done.size < 500 * MIB
    assert str(disk) not in tool("losetup", "--all")  # other tests have loop devices of their own
    after = piece(disk, partitions_of(disk)[0], tmp_path / "after")
    tool("btrfs", "check", "--readonly", after)
    with mounted(after, tmp_path) as root:
        assert (root / "home/data").read_bytes() == content
        assert not (root / "first").exists()


@contextmanager
def mounted(path: Path, tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "mounted"
    place.mkdir(exist_ok=True)
    tool("mount", "-o", "loop", path, place)
    try:
        yield place
    finally:
        tool("umount", place)


@pytest.mark.parametrize(
    ("made_by", "why"),
    [
        (("mkfs.xfs", "-q"), "partition 1, the last one, holds xfs, which nothing makes smaller"),
        (("cryptsetup",), "partition 1, the last one, holds LUKS, which is encrypted"),
        (("mkfs.fat", "-F", "12", "-s", "128"), "the fat of partition 1 is as small as it can be"),
    ],
)
def test_it_is_said_what_is_not_shrunk_and_why(tmp_path: Path, made_by: tuple[str, ...], why: str) -> None:
    """The partition is named; what lies behind it goes all the same."""
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(320 * MIB if made_by[0] == "mkfs.xfs" else 40 * MIB)
        if made_by[0] == "cryptsetup":
            file.write(b"LUKS\xba\xbe")
    if made_by[0] != "cryptsetup":
        tool(*made_by, source)
    mib = source.stat().st_size // MIB
    disk = tmp_path / "disk"
    disk_of(disk, mib + 60, [Part(mib, source)])
    done = shrink(disk, lambda: None)
    assert done.note == why
    assert done.size <= (mib + 4) * MIB


def test_a_btrfs_of_several_disks_is_not_shrunk(tmp_path: Path) -> None:
    """Half of it is elsewhere; nothing of it is touched."""
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        with path.open("wb") as file:
            file.truncate(128 * MIB)
    tool("mkfs.btrfs", "-q", one, other)
    disk = tmp_path / "disk"
    disk_of(disk, 140, [Part(128, one)])
    with pytest.raises(NotShrunkError, match="its btrfs spans 2 disks"):
        shrink(disk, lambda: None)
