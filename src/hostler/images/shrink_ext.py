"""Shrinking ext2, ext3 and ext4 in a file, by their own tools; neither root nor a mount is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hostler.images.shrink_tools import NotShrunkError, tool, with_room, words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CORRECTED = 1  # e2fsck(8): errors were found and mended, as after a journal was replayed
# Offsets in the superblock, which begins at 1024 (the kernel's fs/ext4/ext4.h, struct ext4_super_block).
_SUPERBLOCK = 1024
_BLOCKS, _FREE, _LOG_BLOCK_SIZE, _BLOCKS_HIGH, _FREE_HIGH = 0x4, 0xC, 0x18, 0x150, 0x158
_INCOMPAT, _64BIT = 0x60, 0x80


def shrink_ext(part: Path, beat: Callable[[], None]) -> int:
    """Check and shrink an ext file system that has a file for itself; returns its new size in bytes.

    Raises:
        NotShrunkError: It has errors that need a person, or a tool failed.
    """
    check = tool(beat, "e2fsck", "-f", "-p", part)
    if check.returncode not in (0, _CORRECTED):
        raise NotShrunkError(f"the image cannot be shrunk, its file system has errors: {words(check)}")
    told = tool(beat, "resize2fs", "-P", part)
    _, _, least = told.stdout.rpartition(":")
    if told.returncode or not least.strip().isdigit():
        raise NotShrunkError(f"resize2fs does not tell how small the file system can be: {words(told)}")
    with part.open("rb") as file:
        file.seek(_SUPERBLOCK + _LOG_BLOCK_SIZE)
        block = _block_size(file.read(4))
    present = part.stat().st_size
    wanted = with_room(int(least) * block)
    if wanted >= present:
        return present
    done = tool(beat, "resize2fs", part, f"{wanted // 1024}K")
    if done.returncode:
        raise NotShrunkError(f"the file system cannot be shrunk: {words(done)}")
    os.truncate(part, wanted)
    return wanted


def used_by_ext(head: bytes) -> int:
    """Return how many bytes an ext file system uses, as its superblock has it."""
    block = head[_SUPERBLOCK:]
    blocks, free = _number(block, _BLOCKS), _number(block, _FREE)
    if _number(block, _INCOMPAT) & _64BIT:
        blocks += _number(block, _BLOCKS_HIGH) << 32
        free += _number(block, _FREE_HIGH) << 32
    return max(0, blocks - free) * _block_size(block[_LOG_BLOCK_SIZE:])


def _block_size(logarithm: bytes) -> int:
    return 1024 << min(_number(logarithm, 0), 6)  # 64 KiB is the largest


def _number(block: bytes, at: int) -> int:
    return int.from_bytes(block[at : at + 4], "little")
