"""How a FAT is laid out, as its first sector has it.

After Microsoft's "FAT32 File System Specification", version 1.03 (fatgen103).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

FAT_HEAD_BYTES = 512
FIRST_CLUSTER = 2
"""Clusters are counted from here."""
_FEWEST_16 = 4085
_NOT_MIRRORED = 0x80  # BPB_ExtFlags: one of the tables alone is true
_ENTRY = 32
_NO_SECTOR = (0, 0xFFFF)


class FatError(ValueError):
    """Its first sector is damaged, or it is laid out in a way that nobody uses; the text says how."""


@dataclass(frozen=True, slots=True)
class FatLayout:
    """Where things are in a FAT.

    Attributes:
        bits: Of an entry of its tables: 12, 16 or 32.
        sector: Bytes of a sector.
        cluster: Bytes of a cluster.
        table: Byte where the first table begins.
        tables: How many there are, one behind the other.
        table_bytes: Bytes of each.
        root: Byte where the root directory is; FAT32: its first cluster.
        root_bytes: Bytes of the root directory; FAT32: 0.
        clusters: How many there are.
        info: Sector of the free count, and its copy's; others: none.
        copies: Sectors in which this layout is written.
    """

    bits: int
    sector: int
    cluster: int
    table: int
    tables: int
    table_bytes: int
    root: int
    root_bytes: int
    clusters: int
    info: tuple[int, ...] = ()
    copies: tuple[int, ...] = (0,)

    @property
    def data(self) -> int:
        """Byte where the clusters begin."""
        return self.table + self.tables * self.table_bytes + self.root_bytes

    @property
    def table_used(self) -> int:
        """Bytes of a table that are entries; what is behind them says nothing."""
        return -(-(self.clusters + FIRST_CLUSTER) * self.bits // 8)

    def place(self, cluster: int) -> int:
        """Return the byte where a cluster begins."""
        return self.data + (cluster - FIRST_CLUSTER) * self.cluster

    def bytes_with(self, clusters: int) -> int:
        """Return how large the whole is with so many clusters."""
        return self.data + clusters * self.cluster


def fat_layout(head: bytes) -> FatLayout:
    """Read the layout out of the first sector.

    Raises:
        FatError: It is damaged, or unusual.
    """
    sector, per_cluster, reserved, tables, root_entries, total, _, short_table = struct.unpack_from(
        "<HBHBHHBH", head, 11
    )
    total = total or _number(head, 32, 4)
    table_sectors = short_table or _number(head, 36, 4)
    if sector not in (512, 1024, 2048, 4096) or not (per_cluster and reserved and tables and table_sectors):
        raise FatError("its first sector is damaged")
    root_bytes = -(-root_entries * _ENTRY // sector) * sector
    clusters = (total - reserved - tables * table_sectors - root_bytes // sector) // per_cluster
    # The specification goes by the number of clusters alone. A FAT32 with few, as small boot partitions are,
    # is against it and everywhere; Linux takes it for what it is (fs/fat/inode.c).
    bits = 32 if not short_table else 16 if clusters >= _FEWEST_16 else 12
    needed = -(-(clusters + FIRST_CLUSTER) * bits // 8)
    if clusters < 1 or (bits == 32) != (root_entries == 0) or table_sectors * sector < needed:
        raise FatError("its first sector is damaged")
    table = reserved * sector
    common = (bits, sector, per_cluster * sector, table, tables, table_sectors * sector)
    if bits != 32:
        return FatLayout(*common, table + tables * table_sectors * sector, root_bytes, clusters)
    if _number(head, 40, 2) & _NOT_MIRRORED:
        raise FatError("its tables differ on purpose")
    info, copy = _number(head, 48, 2), _number(head, 50, 2)
    copies = (0,) if copy in _NO_SECTOR else (0, copy)
    infos = () if info in _NO_SECTOR else tuple(at + info for at in copies)
    return FatLayout(*common, _number(head, 44, 4), 0, clusters, infos, copies)


def _number(head: bytes, at: int, length: int) -> int:
    return int.from_bytes(head[at : at + length], "little")
