"""A disk that reads and writes no faster than it is told: a loop device, throttled by the kernel (root).

Only direct reads and writes of this process and its children are throttled; that is what all the ways of
writing an image here use.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 600


@contextmanager
def slow_disk(backing: Path, size: int, read_bps: int, write_bps: int) -> Iterator[Path]:
    """Make a disk of ``size`` bytes over a new file, and be throttled on it until the end.

    Raises:
        OSError, subprocess.CalledProcessError: No right to, or a kernel without blkio throttling (cgroup v1).
    """
    with backing.open("wb") as file:
        file.truncate(size)
    arguments = ["losetup", "--find", "--show", "--direct-io=on", str(backing)]
    device = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    try:
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            mount = ["mount", "-t", "cgroup", "-o", "blkio", "none", place]
            subprocess.run(mount, check=True, capture_output=True, timeout=10)
            group = root / f"hostler-{os.getpid()}"
            try:
                group.mkdir()
                status = Path(device).stat()
                number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
                (group / "blkio.throttle.read_bps_device").write_text(f"{number} {read_bps}")
                (group / "blkio.throttle.write_bps_device").write_text(f"{number} {write_bps}")
                (group / "cgroup.procs").write_text(str(os.getpid()))
                try:
                    yield Path(device)
                finally:
                    (root / "cgroup.procs").write_text(str(os.getpid()))
            finally:
                if group.exists():
                    group.rmdir()
                subprocess.run(["umount", place], check=True, timeout=10)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=10)


def fill(disk: Path, content: Path) -> None:
    """Put an image on the disk without waiting for it as long as the disk would take."""
    backing = Path(f"/sys/block/{disk.name}/loop/backing_file").read_text().strip()
    copy = ["dd", f"if={content}", f"of={backing}", "bs=4M", "conv=notrunc,fsync", "status=none"]
    subprocess.run(copy, check=True, timeout=_SECONDS)
    subprocess.run(["blockdev", "--flushbufs", str(disk)], check=True, timeout=_SECONDS)
    with Path(backing).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
