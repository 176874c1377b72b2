"""A whole Hostler whose boards differ in their disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix_lab import MatrixLab

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boot_paths import BootPath

    from hostler.virtual.disks import DiskKind

_ITS_OWN = 'disk = "'


class DiskLab(MatrixLab):
    """Boards as boot paths say, each with one disk of a kind and a size of its own.

    Args:
        state: Where everything of it lies.
        boards: By boot path, the kind of its disk and its size in MiB.
    """

    def __init__(self, state: Path, boards: Mapping[BootPath, tuple[DiskKind, int]]) -> None:
        self._disks = boards
        super().__init__(state, list(boards))

    def _machine(self, number: int, path: BootPath, console: int) -> str:
        kind, mib = self._disks[path]
        lines = super()._machine(number, path, console).splitlines()
        kept = [line for line in lines if not line.startswith(_ITS_OWN)]
        return "\n".join([*kept, "[[boards.disks]]", f'kind = "{kind}"', f'size = "{mib}M"', ""])
