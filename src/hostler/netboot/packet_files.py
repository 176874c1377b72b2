"""The packets of boots on the disk: a pcapng file for each boot, bounded each and in all.

A file is only ever appended to, so that what was written survives whoever wrote it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hostler.wire.pcapng import section, whole

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "packets"
"""Name of the folder in the state of a netboot process."""

SUFFIX: Final = ".pcapng"

MOST_A_BOOT: Final = 1 << 20
"""Bytes of packets of one boot: a boot by network has some hundred; one that asks for ever has its begin."""

CUT: Final = section((), 0, "There is no more room for this boot: what came later is left out.")
"""A section without packets; ends the file of a boot that has its bytes."""

MOST_IN_ALL: Final = 256 << 20
"""Bytes of one netboot process; the boots that said nothing for the longest time go first."""


class PacketFiles:
    """Where the packets of one netboot process go.

    Args:
        root: Their folder; made when it is needed.
        section: What a file, or what is added to one of an earlier process, begins with.
        most_a_boot: See ``MOST_A_BOOT``.
        most_in_all: See ``MOST_IN_ALL``.
    """

    def __init__(
        self, root: Path, section: bytes, *, most_a_boot: int = MOST_A_BOOT, most_in_all: int = MOST_IN_ALL
    ) -> None:
        self._root = root
        self._section = section
        self._most_a_boot, self._most_in_all = most_a_boot, most_in_all
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        self._begun: set[Path] = set()
        self._full: set[Path] = set()
        for path in sorted(root.glob(f"*/*{SUFFIX}"), key=_changed):
            self._sizes[path] = _size(path)
        self._total = sum(self._sizes.values())

    def add(self, board: str, boot: str, blocks: bytes) -> None:
        """Append whole blocks to a boot's packets.

        From the first block on that is too much for it, all are left out, and the file ends with ``CUT``.

        Raises:
            OSError: The disk does not take it.
        """
        path = self._root / board / f"{boot}{SUFFIX}"
        there = path.exists()  # the rack removes what is old
        if there and path in self._full:
            return
        if not there or path not in self._begun:
            self._full.discard(path)
            size, full = _mend(path)
            self._account(path, size)
            if full:
                self._full.add(path)
                return
            blocks = self._section + blocks
        size = self._sizes[path]
        room = max(self._most_a_boot - size, 0)
        full = len(blocks) > room
        if full:
            blocks = blocks[: whole(blocks[:room])] + CUT
        with path.open("ab", buffering=0) as file:
            file.write(blocks)
        self._begun.add(path)
        if full:
            self._full.add(path)
        self._account(path, size + len(blocks))
        while self._total > self._most_in_all and len(self._sizes) > 1:
            self._remove_oldest()

    def _account(self, path: Path, size: int) -> None:
        self._total += size - self._sizes.get(path, 0)
        self._sizes[path] = size
        self._sizes.move_to_end(path)

    def _remove_oldest(self) -> None:
        path, size = self._sizes.popitem(last=False)
        self._total -= size
        self._begun.discard(path)
        self._full.discard(path)
        path.unlink(missing_ok=True)


def _mend(path: Path) -> tuple[int, bool]:
    """Make a file ready to be appended to, also after a kill; returns its size, and whether it is full."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0, False
    size = whole(data)
    if size < len(data):
        with path.open("r+b") as file:
            file.truncate(size)
    return size, data[:size].endswith(CUT)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
