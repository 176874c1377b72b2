"""Shrinking btrfs in a file. Only Linux itself can: it is mounted by a loop device, which takes root."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from hostler.images.shrink_tools import NotShrunkError, tool, with_room, words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Offsets in the superblock (the kernel's include/uapi/linux/btrfs_tree.h, struct btrfs_super_block).
_SUPERBLOCK = 0x10000
_TOTAL, _USED, _DEVICES = 112, 120, 136
_LEAST = 256 << 20  # fs/btrfs/ioctl.c, btrfs_ioctl_resize: no device may be smaller

# Space is shared out in chunks, which are a tenth of the device each, so a smaller device has smaller ones:
# what is in half-empty chunks is put together, the device shrunk as far as that goes, and so on.
_STEPS = """
mount -t btrfs -o loop,nosuid,nodev,noexec,noatime,discard "$1" "$2"
present=$(stat -c %s "$1")
for round in 1 2 3 4 5 6; do
    if btrfs filesystem resize "$3" "$2"; then break; fi
    btrfs balance start -dusage=75 -musage=75 "$2" || true
    least=$(btrfs inspect-internal min-dev-size "$2")
    least=$(( (${least%% *} + 1048575) / 1048576 * 1048576 ))
    if [ "$least" -ge "$present" ]; then break; fi
    btrfs filesystem resize "$least" "$2" || break
    present=$least
done
fstrim "$2" || true
umount "$2"
"""


def why_btrfs_is_kept() -> str:
    """Say why btrfs is not shrunk here; empty when it is."""
    if os.geteuid() != 0:
        return "is shrunk only by a server that runs as root, as Linux has to mount it for that"
    return ""


def shrink_btrfs(part: Path, beat: Callable[[], None]) -> int:
    """Check and shrink a btrfs that has a file for itself; returns its new size in bytes.

    The mount is in a namespace of its own, which ends with the tool however that ends.

    Raises:
        NotShrunkError: It has errors, is one of several disks, or cannot be mounted.
    """
    total, used, devices = _superblock(part)
    present = part.stat().st_size
    if devices != 1:
        raise NotShrunkError(f"the image cannot be shrunk: its btrfs spans {devices} disks")
    check = tool(beat, "btrfs", "check", "--readonly", part)
    if check.returncode:
        raise NotShrunkError(f"the image cannot be shrunk, its btrfs has errors: {words(check)}")
    wanted = max(_LEAST, with_room(used))
    if wanted >= min(total, present):
        return present
    with tempfile.TemporaryDirectory(prefix="mount-", dir=part.parent) as place:
        done = tool(
            beat, "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
            "sh", "-eu", "-c", _STEPS, "shrink", part, place, str(wanted),
        )  # fmt: skip
    if done.returncode:
        raise NotShrunkError(f"the btrfs cannot be shrunk: {words(done)}")
    size, _, _ = _superblock(part)
    os.truncate(part, size)
    check = tool(beat, "btrfs", "check", "--readonly", part)
    if check.returncode:
        raise NotShrunkError(f"the btrfs has errors after it was shrunk: {words(check)}")
    return size


def _superblock(part: Path) -> tuple[int, int, int]:
    """Return its size, how many bytes of it are used, and of how many disks it is."""
    with part.open("rb") as file:
        file.seek(_SUPERBLOCK)
        block = file.read(256)
    total, used, devices = (int.from_bytes(block[at : at + 8], "little") for at in (_TOTAL, _USED, _DEVICES))
    return total, used, devices
