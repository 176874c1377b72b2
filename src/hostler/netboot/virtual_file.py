"""Files that exist only while they are served: bytes and slices of real files, one after the other."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence


class VirtualFileError(Exception):
    """A virtual file cannot be put together from its parts."""


class MissingFileError(VirtualFileError):
    """A part's file does not exist or may not be read."""


class ShortFileError(VirtualFileError):
    """A part's file is shorter than the slice asked of it."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A slice of a file on disk; ``length`` None means up to its end."""

    path: Path
    offset: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of an open file, to be sent from there."""

    descriptor: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """An opened part: ``content``, or ``length`` bytes of the descriptor from ``offset``."""

    length: int
    content: bytes = b""
    descriptor: int = -1
    offset: int = 0
    file: tuple[int, int, int, int] | None = None  # device, inode, time changed, size

    def read(self, offset: int, length: int) -> bytes:
        if self.descriptor < 0:
            return self.content[offset : offset + length]
        return os.pread(self.descriptor, min(length, self.length - offset), self.offset + offset)


class VirtualFile:
    """An ordered list of parts that reads as one file. Whoever asked for it closes it.

    Files are opened once, here; their bytes come out of the page cache as they are asked for.

    Raises:
        MissingFileError: A file is not there or not readable.
        ShortFileError: A file is shorter than its slice.
    """

    def __init__(self, *parts: bytes | Path | FilePart) -> None:
        self._pieces: list[_Piece] = []
        self._ends: list[int] = []
        self.size = 0
        try:
            for part in parts:
                piece = _open(part)
                self._pieces.append(piece)
                self.size += piece.length
                self._ends.append(self.size)
        except BaseException:
            self.close()
            raise

    def read_into(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Fill the buffers in order from ``offset``; return the bytes read, fewer only at the end.

        Raises:
            OSError: The disk failed.
        """
        wanted = sum(map(len, buffers))
        index = bisect_right(self._ends, offset)
        if index == len(self._pieces):
            return 0
        piece, end = self._pieces[index], self._ends[index]
        if piece.descriptor >= 0 and offset + wanted <= end:
            got = os.preadv(piece.descriptor, buffers, piece.offset + offset - (end - piece.length))
            if got == wanted:
                return got
        total = 0
        for buffer in buffers:
            data = self.read_at(offset + total, len(buffer))
            buffer[: len(data)] = data
            total += len(data)
            if len(data) < len(buffer):
                break
        return total

    def read_at(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``, fewer only at the end.

        Raises:
            OSError: The disk failed.
        """
        found: list[bytes] = []
        index = bisect_right(self._ends, offset)
        while length > 0 and index < len(self._pieces):
            piece = self._pieces[index]
            data = piece.read(offset - (self._ends[index] - piece.length), length)
            if not data:
                break  # the file was cut short after it was opened
            found.append(data)
            offset += len(data)
            length -= len(data)
            index = bisect_right(self._ends, offset)
        return b"".join(found)

    def identity(self, offset: int, length: int) -> Hashable | None:
        """Return a value equal for the same stretch of the same file in any virtual file, else None."""
        index = bisect_right(self._ends, offset)
        if index < len(self._pieces) and offset + length <= self._ends[index]:
            piece = self._pieces[index]
            if piece.file is not None:
                return piece.file, piece.offset + offset - (self._ends[index] - piece.length), length
        return None

    def stretches(self, wanted: range) -> Iterator[bytes | Stretch]:
        """Yield what a range of the file consists of, in order: bytes, and where others are to be had."""
        for piece, end in zip(self._pieces, self._ends, strict=True):
            begin = end - piece.length
            first, last = max(wanted.start, begin) - begin, min(wanted.stop, end) - begin
            if first < last and piece.descriptor < 0:
                yield piece.content[first:last]
            elif first < last:
                yield Stretch(piece.descriptor, piece.offset + first, last - first)

    @property
    def tag(self) -> str:
        """A text that is another one whenever the content is: from bytes, and from files' identities."""
        digest = hashlib.sha256()
        for piece in self._pieces:
            # Not the content's own repr: a disk has megabytes of zeros, and other requests wait for this.
            digest.update(repr((piece.file, piece.offset, piece.length)).encode())
            digest.update(piece.content)
        return digest.hexdigest()[:32]

    def close(self) -> None:
        """Close the files; reading afterwards finds nothing."""
        for piece in self._pieces:
            if piece.descriptor >= 0:
                os.close(piece.descriptor)
        self._pieces, self._ends = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(part: bytes | Path | FilePart) -> _Piece:
    if isinstance(part, bytes):
        return _Piece(len(part), content=part)
    if isinstance(part, Path):
        part = FilePart(part)
    try:
        descriptor = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MissingFileError(f"{part.path}: {error.strerror}") from error
    status = os.fstat(descriptor)
    available = max(0, status.st_size - part.offset)
    length = available if part.length is None else part.length
    if length > available:
        os.close(descriptor)
        raise ShortFileError(f"{part.path}: {available} bytes from {part.offset}, not {length}")
    # Boot loaders read from front to back: twice the kernel's usual read-ahead.
    os.posix_fadvise(descriptor, part.offset, length, os.POSIX_FADV_SEQUENTIAL)
    file = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
    return _Piece(length, descriptor=descriptor, offset=part.offset, file=file)
