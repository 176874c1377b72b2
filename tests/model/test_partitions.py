"""Partition tables against sfdisk and sgdisk."""

from __future__ import annotations

from pathlib import Path

import pytest

from disk_files import MIB, Part, disk_of, partitions_of, tool
from hostler.model.partitions import HEAD_BYTES, PartitionError, read_table


def table_of(path: Path):
    with path.open("rb") as file:
        return read_table(file.read(HEAD_BYTES))


def put(path: Path, table, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(0)
        file.truncate(size)
        for offset, content in table.pieces(size):
            file.seek(offset)
            file.write(content)


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_a_table_is_read_as_sfdisk_reads_it(tmp_path: Path, label: str) -> None:
    """Number, place and size of every partition are those that sfdisk tells."""
    disk = tmp_path / "disk"
    places = disk_of(disk, 64, [Part(8), Part(16), Part(4)], label)
    assert [(part.start, part.size) for part in table_of(disk).partitions] == places


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_a_table_is_written_for_a_smaller_disk(tmp_path: Path, label: str) -> None:
    """Without its last partition and with one made smaller it fits, and sgdisk finds nothing wrong."""
    disk = tmp_path / "disk"
    places = disk_of(disk, 64, [Part(8), Part(32), Part(4)], label)
    table = table_of(disk).without(3)
    table = table.placed(2, places[1][0], 16 * MIB)
    assert table.smallest < 28 * MIB
    put(disk, table, table.smallest)
    assert partitions_of(disk) == [places[0], (places[1][0], 16 * MIB)]
    if label == "gpt":
        assert "No problems found" in tool("sgdisk", "--verify", disk)
    with pytest.raises(PartitionError, match="too late for a disk"):
        table.pieces(16 * MIB)


def test_a_written_table_is_the_one_that_was_read(tmp_path: Path) -> None:
    """On a disk of the same size every byte of a GPT is as sfdisk wrote it, identities too."""
    disk = tmp_path / "disk"
    disk_of(disk, 64, [Part(8), Part(16)])
    before = disk.read_bytes()
    put(disk, table_of(disk), 64 * MIB)
    assert disk.read_bytes() == before


def test_what_is_no_table_is_none() -> None:
    """Zeros, and the boot sector of a FAT that has the whole disk, hold no partitions."""
    assert read_table(bytes(HEAD_BYTES)) is None
    boot_sector = bytearray(b"\xeb\x3c\x90mkfs.fat".ljust(510, b"x") + b"\x55\xaa")
    assert read_table(bytes(boot_sector).ljust(HEAD_BYTES, b"\0")) is None


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    """One bit in the entries, or in the header, and the table is not believed."""
    disk = tmp_path / "disk"
    disk_of(disk, 64, [Part(8)])
    head = disk.read_bytes()[:HEAD_BYTES]
    for place in (1024 + 3, 512 + 60):
        changed = bytearray(head)
        changed[place] ^= 4
        with pytest.raises(PartitionError, match="damaged"):
            read_table(bytes(changed))
