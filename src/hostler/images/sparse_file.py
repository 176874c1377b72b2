"""Stretches of sparse files: copied with their holes, and made holes."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PIECE = 1 << 20


def clear(file: int, start: int, end: int, beat: Callable[[], None]) -> None:
    """Have a stretch of a sparse file read as zeros, by writing only where it is no hole.

    Args:
        file: Descriptor of the file, open for writing.
        start: First byte.
        end: The byte behind the last one.
        beat: Called all the while; what it raises ends the work.
    """
    zeros = bytes(_PIECE)
    for first, last in data(file, start, end):
        at = first
        while at < last:
            at += os.pwrite(file, zeros[: last - at], at)
            beat()


def copy(source: Path, offset: int, length: int, target: Path, place: int, beat: Callable[[], None]) -> None:
    """Copy a stretch of a sparse file into another, holes as holes; the target is made if it is not there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    with source.open("rb") as reading, os.fdopen(os.open(target, flags, 0o600), "r+b") as writing:
        if os.fstat(writing.fileno()).st_size < place + length:
            writing.truncate(place + length)
        for first, last in data(reading.fileno(), offset, offset + length):
            at = first
            while at < last:
                piece = os.pread(reading.fileno(), min(_PIECE, last - at), at)
                if not piece:
                    break
                os.pwrite(writing.fileno(), piece, place + at - offset)
                at += len(piece)
                beat()


def data(file: int, start: int, end: int) -> list[tuple[int, int]]:
    """Return where a stretch of a file is no hole."""
    found, at = [], start
    while at < end:
        try:
            first = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        if first >= end:
            break
        at = min(end, os.lseek(file, first, os.SEEK_HOLE))
        found.append((first, at))
    return found
