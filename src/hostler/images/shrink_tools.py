"""What shrinking file systems of every kind shares: Debian's tools, and how much room is left free."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from hostler.images.store_errors import StoreError
from hostler.images.tool_run import ToolTimeoutError, run_tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

ALIGNMENT = 1 << 20
SPARE = 64 << 20
"""Bytes left free in a file system, besides a twentieth: a system without any room does not start."""
_TOOL_SECONDS = 3 * 3600.0
_SYSTEM_PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"  # a user's PATH may lack the first two
_PACKAGES = {
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "fsck.fat": "dosfstools",
    "btrfs": "btrfs-progs",
    "unshare": "util-linux",
}


class NotShrunkError(StoreError):
    """It cannot be made smaller; the text says why."""


def aligned(size: int) -> int:
    """Return a number of bytes rounded up to where partition tools begin partitions."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def with_room(least: int) -> int:
    """Return how large a file system is made that could do with ``least`` bytes."""
    return aligned(least + least // 20 + SPARE)


def tool(beat: Callable[[], None], name: str, *arguments: str | Path) -> CompletedProcess[str]:
    """Run a tool to its end.

    Raises:
        NotShrunkError: It is not there, or takes longer than hours; the text names its Debian package.
    """
    program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PLACES}")
    if program is None:
        raise NotShrunkError(f"shrinking needs {name} on the server: apt install {_PACKAGES[name]}")
    try:
        return run_tool([program, *arguments], _TOOL_SECONDS, beat)
    except ToolTimeoutError as error:
        raise NotShrunkError(f"the image cannot be shrunk: {error}") from None


def words(done: CompletedProcess[str]) -> str:
    """Return the end of what a tool said, on one line."""
    return " ".join(f"{done.stderr} {done.stdout}".split())[-300:]
