"""An open disk, or a file that stands for one: direct reads and writes, discarding and zeroing.

Everything goes past the page cache where the file system allows it, so that what is read back was really
on the medium, and memory stays free on small boards.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import time
from typing import TYPE_CHECKING

from hostler.agent.work import DiskFaultError, StepError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

# <linux/fs.h>
_BLKRRPART = 0x125F
_BLKSSZGET = 0x1268
_BLKDISCARD = 0x1277
_BLKGETSIZE64 = 0x80081272
# <linux/falloc.h>
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2

_NOT_OFFERED = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENODEV, errno.EREMOTEIO, errno.EIO}
)
_OFFLOAD_PIECE = (
    1024**3
)  # a request ends in seconds even on slow media, so progress moves and cancelling works

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Media:
    """An open block device or regular file of fixed size. One instance may be used by many threads.

    Args:
        path: The device.
        write: Open it for writing too; a block device is then opened exclusively, so that one that is
            mounted or part of an array is refused.

    Attributes:
        path: As given.
        size: Bytes.
        block: Smallest unit of a read or write, in bytes.
        is_disk: Whether it is a block device.
        direct: Whether reads and writes go past the page cache.

    Raises:
        StepError: it cannot be opened; the message says why.
    """

    def __init__(self, path: Path, *, write: bool) -> None:
        self.path = path
        flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC
        try:
            mode = path.stat().st_mode
            self.is_disk = stat.S_ISBLK(mode)
            if not self.is_disk and not stat.S_ISREG(mode):
                raise StepError(f"{path} is not a disk")
            if self.is_disk and write:
                flags |= os.O_EXCL
            try:
                self._fd = os.open(path, flags | os.O_DIRECT)
                self.direct = True
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._fd = os.open(path, flags)  # tmpfs of older kernels, some FUSE file systems
                self.direct = False
        except OSError as error:
            raise StepError(f"{path} cannot be opened: {error.strerror}") from error
        if self.is_disk:
            self.size = int(struct.unpack("Q", fcntl.ioctl(self._fd, _BLKGETSIZE64, bytes(8)))[0])
            self.block = int(struct.unpack("i", fcntl.ioctl(self._fd, _BLKSSZGET, bytes(4)))[0])
        else:
            self.size = os.fstat(self._fd).st_size
            self.block = 512

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def write(self, data: memoryview, offset: int) -> None:
        """Write all of an aligned buffer; raises DiskFaultError with the offset."""
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self._fd, data[done:], offset + done)
        except OSError as error:
            raise DiskFaultError(
                f"{self.path}: writing {len(data)} bytes at {offset}: {error.strerror}"
            ) from error

    def read(self, data: memoryview, offset: int) -> None:
        """Fill an aligned buffer; raises DiskFaultError with the offset."""
        try:
            done = 0
            while done < len(data):
                count = os.preadv(self._fd, [data[done:]], offset + done)
                if not count:
                    raise DiskFaultError(f"{self.path}: ends at {offset + done}, within what was to be read")
                done += count
        except OSError as error:
            raise DiskFaultError(
                f"{self.path}: reading {len(data)} bytes at {offset}: {_why_unread(error)}"
            ) from error

    def discard(self, offset: int, length: int) -> bool:
        """Tell the medium that a range is not needed; return False if it cannot be told.

        Nothing follows for what the range reads afterwards.
        """
        if not self.is_disk:
            return False
        try:
            fcntl.ioctl(self._fd, _BLKDISCARD, struct.pack("QQ", offset, length))
        except OSError as error:
            if error.errno in _NOT_OFFERED:
                return False
            raise DiskFaultError(
                f"{self.path}: discarding {length} bytes at {offset}: {error.strerror}"
            ) from error
        return True

    def zero(self, offset: int, length: int) -> bool:
        """Make a range read as zeros without sending them; return False if the medium offers no such thing.

        On a block device, punching a hole is a request to write zeroes that may unmap, and never falls back
        to writing (fallocate(2), blkdev_fallocate in the kernel): the medium does it or refuses. A plain file
        behaves the same.
        """
        result = _libc.fallocate(self._fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, offset, length)
        if result == 0:
            return True
        code = ctypes.get_errno()
        if code in _NOT_OFFERED:
            return False
        raise DiskFaultError(f"{self.path}: zeroing {length} bytes at {offset}: {os.strerror(code)}")

    def sync(self) -> None:
        """Flush everything, the medium's own cache included; later reads come from the medium."""
        try:
            os.fsync(self._fd)
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise DiskFaultError(f"{self.path}: flushing: {error.strerror}") from error

    def reread_partitions(self) -> bool:
        """Make the kernel read the partition table again; return whether it did."""
        if not self.is_disk:
            return False
        for _ in range(5):
            try:
                fcntl.ioctl(self._fd, _BLKRRPART)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    return False
                time.sleep(0.2)
            else:
                return True
        return False


def _why_unread(error: OSError) -> str:
    """Return the reason of a failed read; the kernel's word for what a medium has lost is misleading."""
    return "the medium has lost what was there" if error.errno == errno.ENODATA else str(error.strerror)


def aligned_buffer(size: int) -> memoryview:
    """Return a zeroed buffer that begins on a page, as direct I/O needs."""
    return memoryview(mmap.mmap(-1, size))


def pieces(offset: int, length: int, size: int = _OFFLOAD_PIECE) -> list[tuple[int, int]]:
    """Cut a range into parts that end on multiples of ``size``."""
    parts = []
    end = offset + length
    while offset < end:
        cut = min(end, (offset // size + 1) * size)
        parts.append((offset, cut - offset))
        offset = cut
    return parts


def up(length: int, block: int) -> int:
    """Round up to whole blocks of the disk."""
    return -(-length // block) * block
