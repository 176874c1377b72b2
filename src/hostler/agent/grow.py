"""The last partition of an installed image, and its file system, grown to the size of the disk.

The file system is mounted and grown by the kernel, as ``resize2fs``, ``xfs_growfs`` and
``btrfs filesystem resize`` do it: what is there stays where it is. Numbers are those of fs/ext4/ext4.h,
fs/xfs/libxfs/xfs_fs.h, <linux/btrfs.h> and <linux/blkpg.h>.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.media import Media, aligned_buffer
from hostler.agent.root_files import mounted
from hostler.agent.work import StepError
from hostler.model.partitions import HEAD_BYTES, PartitionError, read_table
from hostler.model.volume import VOLUME_HEAD_BYTES, Volume, volume_of

if TYPE_CHECKING:
    from hostler.agent.disks import Disk, Machine
    from hostler.agent.work import Work
    from hostler.model.json import Document
    from hostler.model.partitions import Partition, PartitionTable

_BLKPG, _BLKPG_RESIZE = 0x1269, 3  # <linux/blkpg.h>
_BLKPG_PARTITION = struct.Struct("@qqi64s64s4x")
_EXT4_RESIZE = 0x40086610  # EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64): blocks
_XFS_GROW = 0x4010586E  # XFS_IOC_FSGROWFSDATA, _IOW('X', 110, struct xfs_growfs_data): blocks, % for inodes
_BTRFS_RESIZE = 0x50009403  # BTRFS_IOC_RESIZE, _IOW(0x94, 3, struct btrfs_ioctl_vol_args): "DEVICE:max"
_VOL_ARGS = struct.Struct("<q4088s")
_BTRFS_SUPERBLOCK, _BTRFS_DEVICE = 0x10000, 0xC9  # superblock; in it, the number of the device it lies on
_EXT_64BIT = 0x80
_WORDS = {
    Volume.EMPTY: "nothing",
    Volume.UNKNOWN: "something unknown",
    Volume.FAT: "FAT",
    Volume.NTFS: "NTFS",
}
_KINDS = {Volume.EXT: "ext4", Volume.XFS: "xfs", Volume.BTRFS: "btrfs"}
_ALIGNMENT = 1 << 20


class _StaysError(Exception):
    """Nothing can grow; the text says why."""


@dataclass(frozen=True, slots=True)
class _FileSystem:
    """A file system as its superblock tells it.

    Attributes:
        volume: Which.
        block: Bytes of a block; of btrfs 1.
        blocks: How many it has.
        device: Of btrfs the number of the device, of XFS the share for inodes in percent; both stay.
    """

    volume: Volume
    block: int
    blocks: int
    device: int = 0

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.block * self.blocks


def grow(disk: Disk, machine: Machine, work: Work, seed: int | None = None) -> Document:
    """Let the last partition of a disk and its file system take all the room behind it.

    Args:
        disk: Where an image lies whole; nobody has it open.
        machine: Where the hardware is.
        work: Takes the log.
        seed: Number of a partition that was added behind the image's, or None: it stays where it is.

    Returns:
        ``grown``, and of what can grow ``partition``, ``file_system``, and the latter's ``bytes_before`` and
        ``bytes``. If not, ``why``: nothing there can grow, and nothing was changed.

    Raises:
        StepError: The disk or the file system refused.
    """
    try:
        with Media(Path(disk.path), write=True) as media:
            table = _table(media)
            last = _last(table, seed)
            before = _file_system(media, last)
            size = _room(table, last, media.size) - last.start
            if size > last.size:
                _write(media, table.placed(last.number, last.start, size))
                work.say(f"install: partition {last.number} grew from {last.size} to {size} bytes")
    except _StaysError as stays:
        work.say(f"install: nothing grows: {stays}")
        return {"grown": False, "why": str(stays)}
    size = max(size, last.size)
    device = _device(machine, disk, last.number)
    _tell_kernel(disk, last, size)
    _grow_file_system(device, before, size)
    with Media(Path(disk.path), write=True) as media:
        after = _file_system(media, last)
    work.say(f"install: its {_KINDS[after.volume]} grew from {before.bytes} to {after.bytes} bytes")
    return {
        "grown": after.bytes > before.bytes,
        "partition": last.number,
        "file_system": _KINDS[after.volume],
        "bytes_before": before.bytes,
        "bytes": after.bytes,
    }


def _table(media: Media) -> PartitionTable:
    try:
        table = read_table(_read(media, 0, min(HEAD_BYTES, media.size)), media.block)
    except PartitionError as error:
        raise _StaysError(str(error)) from error
    if table is None:
        raise _StaysError("the image has no partition table")
    if table.has_extended:
        raise _StaysError("the image has logical partitions, which are left as they are")
    return table


def _last(table: PartitionTable, seed: int | None) -> Partition:
    partitions = [partition for partition in table.partitions if partition.number != seed]
    if not partitions:
        raise _StaysError("the image has no partition")
    return max(partitions, key=lambda partition: partition.start)


def _room(table: PartitionTable, last: Partition, size: int) -> int:
    """Return where a partition may end on a disk of this size: before the next one, if there is one."""
    behind = [partition.start for partition in table.partitions if partition.start > last.start]
    return min([table.usable_end(size), *behind]) // _ALIGNMENT * _ALIGNMENT


def _write(media: Media, table: PartitionTable) -> None:
    try:
        pieces = table.pieces(media.size)
    except PartitionError as error:
        raise _StaysError(str(error)) from error
    # From the end: while the disk has one table that is whole, firmware and kernels find it.
    for offset, content in reversed(pieces):
        begin = offset // media.block * media.block
        buffer = aligned_buffer(-(-(offset + len(content) - begin) // media.block) * media.block)
        media.read(buffer, begin)
        buffer[offset - begin : offset - begin + len(content)] = content
        media.write(buffer, begin)
    media.sync()


def _file_system(media: Media, partition: Partition) -> _FileSystem:
    head = _read(media, partition.start, min(VOLUME_HEAD_BYTES, partition.size))
    volume = volume_of(head)
    if volume is Volume.EXT:
        low, log = struct.unpack_from("<I16xI", head, 0x404)
        incompat = struct.unpack_from("<I", head, 0x460)[0]
        high = struct.unpack_from("<I", head, 0x550)[0] if incompat & _EXT_64BIT else 0
        return _FileSystem(volume, 1024 << log, high << 32 | low)
    if volume is Volume.XFS:
        block, blocks = struct.unpack_from(">IQ", head, 4)
        return _FileSystem(volume, block, blocks, head[127])
    if volume is Volume.BTRFS:
        size = struct.unpack_from("<Q", head, _BTRFS_SUPERBLOCK + 0x70)[0]
        return _FileSystem(
            volume, 1, size, *struct.unpack_from("<Q", head, _BTRFS_SUPERBLOCK + _BTRFS_DEVICE)
        )
    raise _StaysError(
        f"the last partition, {partition.number}, holds {_WORDS.get(volume, volume)}; ext4, XFS and btrfs can"
    )


def _device(machine: Machine, disk: Disk, number: int) -> Path:
    name = Path(disk.path).name
    for path in (machine.sys / "block" / name).glob(f"{name}*/partition"):
        if path.read_text().strip() == str(number):
            return machine.dev / path.parent.name
    raise StepError(f"the kernel does not show partition {number} of {disk.path}")


def _tell_kernel(disk: Disk, partition: Partition, size: int) -> None:
    """Have the kernel know a partition's new size; unlike a new look at the table this disturbs no other."""
    place = _BLKPG_PARTITION.pack(partition.start, size, partition.number, b"", b"")
    buffer = ctypes.create_string_buffer(place, len(place))
    request = struct.pack("@iiiP", _BLKPG_RESIZE, 0, len(place), ctypes.addressof(buffer))
    disk_fd = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(disk_fd, _BLKPG, request)
    except OSError as error:
        raise StepError(
            f"the kernel does not take the new size of partition {partition.number} of {disk.path}: "
            f"{error.strerror}"
        ) from error
    finally:
        os.close(disk_fd)


def _grow_file_system(device: Path, present: _FileSystem, size: int) -> None:
    kind = _KINDS[present.volume]
    blocks = size // present.block
    with mounted(device, (kind,)) as place:
        if place is None:
            raise StepError(f"the {kind} on {device} cannot be mounted to grow")
        place_fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if present.volume is Volume.EXT:
                fcntl.ioctl(place_fd, _EXT4_RESIZE, struct.pack("<Q", blocks))
            elif present.volume is Volume.XFS:
                fcntl.ioctl(place_fd, _XFS_GROW, struct.pack("<QI4x", blocks, present.device))
            else:
                request = bytearray(_VOL_ARGS.pack(0, f"{present.device}:max".encode()))
                fcntl.ioctl(place_fd, _BTRFS_RESIZE, request)
        except OSError as error:
            raise StepError(f"the {kind} on {device} does not grow: {error.strerror}") from error
        finally:
            os.close(place_fd)


def _read(media: Media, offset: int, length: int) -> bytes:
    begin = offset // media.block * media.block
    buffer = aligned_buffer(-(-(offset + length - begin) // media.block) * media.block)
    media.read(buffer, begin)
    return bytes(buffer[offset - begin : offset - begin + length])
