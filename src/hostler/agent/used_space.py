"""Which blocks of a partition its file system uses.

partclone reads the file system's own allocation map and writes it as the domain log that GNU ddrescue has for
such things (info ddrescue, "Mapfile structure"): a line for each range, its status ``+`` where blocks are
used. What is not to be trusted is taken whole.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.work import StepError
from hostler.model.volume import Volume, swap_header, trouble, volume_of

if TYPE_CHECKING:
    from hostler.agent.toolbox import Toolbox

_TOOLS = {
    Volume.EXT: "partclone.extfs",
    Volume.XFS: "partclone.xfs",
    Volume.BTRFS: "partclone.btrfs",
    Volume.FAT: "partclone.fat",
    Volume.NTFS: "partclone.ntfs",
}
_MAP_SECONDS = 1800.0
"""A map is read in seconds; on a slow card with many small files in minutes."""


@dataclass(frozen=True, slots=True)
class Used:
    """What of a volume is to be in an image.

    Attributes:
        ranges: First byte and first byte behind, from the volume's beginning.
        told: Why it is taken whole; empty: what is not used is left out.
    """

    ranges: tuple[tuple[int, int], ...]
    told: str = ""


def used_space(device: Path, size: int, head: bytes, toolbox: Toolbox) -> Used:
    """Find out which bytes of a volume are in use.

    Args:
        device: Where it is to be read: a partition, a disk, or what stands for one.
        size: Its length in bytes.
        head: Its first ``VOLUME_HEAD_BYTES``.
        toolbox: Has partclone.
    """
    volume = volume_of(head)
    if volume is Volume.SWAP:
        return Used(((0, swap_header(head)),))
    if volume not in _TOOLS:
        return Used(((0, size),), "" if volume is Volume.EMPTY else f"{volume} is taken whole")
    if why := trouble(head):
        return Used(((0, size),), f"{volume} is taken whole: {why}")
    with tempfile.TemporaryDirectory(prefix="hostler-map-") as place:
        log, words = Path(place, "domain"), Path(place, "log")
        try:
            toolbox.run(
                _TOOLS[volume], "-D", "-q", "-s", device, "-o", log, "-L", words, seconds=_MAP_SECONDS
            )
            return Used(used_ranges(log.read_text(), size))
        except (StepError, OSError, ValueError) as error:
            return Used(((0, size),), f"{volume} is taken whole: {error}")


def used_ranges(log: str, size: int) -> tuple[tuple[int, int], ...]:
    """Read a domain log; raises ValueError when it is none or does not cover a volume of this size.

    What lies behind the file system, which may be smaller than its partition, is taken as used: some keep a
    second superblock there.
    """
    rows = [line.split() for line in log.splitlines() if line and not line.startswith("#")]
    if not rows or len(rows[0]) < 2:
        raise ValueError("partclone wrote no map")
    found, at = [], 0
    for position, length, status in rows[1:]:  # the first row tells where ddrescue is to go on
        start, end = int(position, 16), int(position, 16) + int(length, 16)
        if start != at:
            raise ValueError(f"partclone's map says nothing of {at} to {start}")
        if status == "+":
            found.append((start, min(end, size)))
        at = end
    if not found:
        raise ValueError("partclone's map has nothing in it")
    if at < size:
        found.append((at, size))
    return tuple(found)
