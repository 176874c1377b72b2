"""A disk in a file made smaller, judged by sfdisk, sgdisk and e2fsck."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from disk_files import MIB, Part, disk_of, ext4, partitions_of, piece, sound, text_in, tool
from hostler.images.captured import shrink_image
from hostler.images.importer import import_image
from hostler.images.shrink import shrink
from hostler.images.shrink_estimate import estimate
from hostler.images.shrink_tools import NotShrunkError
from hostler.images.store import ImageStore


def system(tmp_path: Path, mib: int) -> Path:
    """A file system with a few files in it."""
    files = tmp_path / "files"
    (files / "etc").mkdir(parents=True)
    (files / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (files / "data").write_bytes(b"data" * MIB)
    return ext4(tmp_path / "root.ext4", mib, files)


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_a_disk_fits_a_smaller_one_afterwards(tmp_path: Path, label: str) -> None:
    """Root shrinks, swap moves up to it with its identity, and table and file system are whole."""
    swap = tmp_path / "swap"
    swap.write_bytes(bytes(8 * MIB))
    tool("mkswap", "--uuid", "11111111-2222-3333-4444-555555555555", swap)
    disk = tmp_path / "disk"
    root = system(tmp_path, 300)
    disk_of(disk, 400, [Part(4), Part(300, root), Part(8, swap, "swap")], label)
    done = shrink(disk, lambda: None)
    assert (done.before, done.note) == (400 * MIB, "")
    assert done.size == disk.stat().st_size < 200 * MIB
    places = partitions_of(disk)
    sound(piece(disk, places[1], tmp_path / "after"))
    assert text_in(tmp_path / "after", "/etc/passwd").startswith("root:")
    assert b"11111111" in tool("blkid", "-p", piece(disk, places[2], tmp_path / "swap2")).encode()
    if label == "gpt":
        assert "No problems found" in tool("sgdisk", "--verify", disk)


def test_only_unused_room_goes_where_the_file_system_cannot_shrink(tmp_path: Path) -> None:
    """A FAT that is small stays as it is; what lies behind it goes, and it is said why not more."""
    fat = tmp_path / "fat"
    fat.write_bytes(bytes(32 * MIB))
    tool("mkfs.fat", fat)
    disk = tmp_path / "disk"
    places = disk_of(disk, 200, [Part(32, fat)])
    done = shrink(disk, lambda: None)
    assert done.size < 40 * MIB
    assert "the fat of partition 1 is as small" in done.note
    assert partitions_of(disk) == places
    assert piece(disk, places[0], tmp_path / "after").read_bytes() == fat.read_bytes()


def test_a_file_system_with_errors_is_not_shrunk(tmp_path: Path) -> None:
    """What e2fsck cannot mend by itself is said."""
    root = system(tmp_path, 200)
    tool("debugfs", "-w", "-R", "clri <2>", root)  # its root folder
    disk = tmp_path / "disk"
    disk_of(disk, 210, [Part(200, root)])
    with pytest.raises(NotShrunkError, match="has errors"):
        shrink(disk, lambda: None)


def test_an_image_is_shrunk_in_the_store(tmp_path: Path) -> None:
    """The new image lays out as a sound disk, and no scrap is left."""
    disk = tmp_path / "disk"
    disk_of(disk, 400, [Part(300, system(tmp_path, 300))])
    store = ImageStore(tmp_path / "store")
    first = import_image(disk, store)
    about = estimate(store, store.index(first.index))
    made = shrink_image(store, first.index, lambda _: None)
    assert about is not None
    assert made.size <= about < 200 * MIB
    assert made.size < 200 * MIB
    assert made.shrunk_from == 400 * MIB
    assert not list(store.tmp.iterdir())
    again = tmp_path / "again"
    again.write_bytes(b"")
    with again.open("r+b") as file:
        file.truncate(made.size)
        for chunk in store.index(made.index):
            file.seek(chunk.offset)
            file.write(zstandard.ZstdDecompressor().decompress(store.chunk_path(chunk.digest).read_bytes()))
    sound(piece(again, partitions_of(again)[0], tmp_path / "after"))


def test_an_image_that_is_small_already_is_not_made_anew(tmp_path: Path) -> None:
    """Shrinking what cannot be smaller is refused, and says why."""
    fat = tmp_path / "fat"
    fat.write_bytes(bytes(32 * MIB))
    tool("mkfs.fat", fat)
    disk = tmp_path / "disk"
    disk_of(disk, 34, [Part(32, fat)])
    store = ImageStore(tmp_path / "store")
    index = import_image(disk, store).index
    assert estimate(store, store.index(index)) is None
    with pytest.raises(NotShrunkError, match="as small as it can be made: the fat of partition 1"):
        shrink_image(store, index, lambda _: None)
    assert store.indexes() == [index]
