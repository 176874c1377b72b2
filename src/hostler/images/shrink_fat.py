"""Shrinking FAT16 and FAT32 in a file, checked by ``fsck.fat`` before and after.

``fatresize``, the one tool that Debian has for it, gives the partition another GUID and turns a FAT32 into a
FAT16; so clusters are moved here (`hostler.images.fat_volume`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hostler.images.fat_volume import FatMove, fewest_clusters, table_bytes, used_clusters
from hostler.images.shrink_tools import NotShrunkError, tool, with_room, words
from hostler.model.fat_layout import FAT_HEAD_BYTES, FatError, fat_layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SMALL = 12  # the bits of a FAT of a few megabytes
_CORRECTED = 1  # fsck.fat(8): errors were found and mended, a mark of not having been unmounted too


def shrink_fat(part: Path, beat: Callable[[], None]) -> int:
    """Check and shrink a FAT that has a file for itself; returns its new size in bytes.

    Raises:
        NotShrunkError: It has errors that cannot be mended, or is laid out in an unusual way.
    """
    present = part.stat().st_size
    check = tool(beat, "fsck.fat", "-a", part)
    if check.returncode not in (0, _CORRECTED):
        raise NotShrunkError(f"the image cannot be shrunk, its FAT has errors: {words(check)}")
    with part.open("r+b") as file:
        try:
            layout = fat_layout(file.read(FAT_HEAD_BYTES))
            if layout.bits == _SMALL:
                return present
            table = os.pread(file.fileno(), table_bytes(layout), layout.table)
            least = layout.bytes_with(used_clusters(layout, table))
            clusters = fewest_clusters(layout, with_room(least))
            if clusters >= layout.clusters:
                return present
            size = FatMove(file.fileno(), layout, clusters, beat).run()
        except FatError as error:
            raise NotShrunkError(
                f"the image cannot be shrunk, its FAT is not as it should be: {error}"
            ) from None
    os.truncate(part, size)
    check = tool(beat, "fsck.fat", "-n", part)
    if check.returncode:
        raise NotShrunkError(f"the FAT has errors after it was shrunk: {words(check)}")
    return size


def used_by_fat(read: Callable[[int, int], bytes]) -> int:
    """Return how many bytes a FAT uses; ``read`` gives bytes of it, from an offset, so many.

    Raises:
        FatError: It is laid out in a way that is not shrunk, or too large for it.
    """
    layout = fat_layout(read(0, FAT_HEAD_BYTES))
    if layout.bits == _SMALL:
        raise FatError("it is a FAT12, which is not shrunk")
    return layout.bytes_with(used_clusters(layout, read(layout.table, table_bytes(layout))))
