"""What is sent as one file: bytes, files of this machine, or a tar of them; readable from any place of it."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    known_by: str


@dataclass(frozen=True, slots=True)
class UploadContent:
    """What is sent.

    Attributes:
        name: What it is called.
        parts: One after the other.
    """

    name: str
    parts: tuple[bytes | _File, ...]

    @property
    def length(self) -> int:
        """Its bytes."""
        return sum(_size(part) for part in self.parts)

    def fingerprint(self, purpose: str) -> str:
        """Return what it is known again by, while none of its files was changed.

        Args:
            purpose: What it is sent for; the same for another purpose is another upload.
        """
        facts = [
            part.known_by if isinstance(part, _File) else hashlib.sha256(part).hexdigest()
            for part in self.parts
        ]
        return hashlib.sha256(repr((purpose, self.name, facts)).encode()).hexdigest()

    def read(self, offset: int, count: int) -> Iterator[bytes]:
        """Yield so many bytes from a place on, or those that there are; raises OSError."""
        for part in self.parts:
            size = _size(part)
            if offset < size and count:
                here = min(count, size - offset)
                yield from _piece(part, offset, here)
                count -= here
            offset = max(0, offset - size)


def file_content(path: Path) -> UploadContent:
    """Return a file as what is sent; raises OSError."""
    return UploadContent(told(path), (_file(path),))


def tar_content(
    name: str, members: Mapping[str, Path], texts: Mapping[str, bytes] | None = None
) -> UploadContent:
    """Return a tar of files by their names in it, texts first; raises OSError."""
    parts: list[bytes | _File] = []
    for inner, text in (texts or {}).items():
        parts += [_head(inner, len(text)), text, bytes(-len(text) % tarfile.BLOCKSIZE)]
    for inner, path in members.items():
        file = _file(path)
        parts += [_head(inner, file.size), file, bytes(-file.size % tarfile.BLOCKSIZE)]
    return UploadContent(name, (*parts, bytes(2 * tarfile.BLOCKSIZE)))


def told(path: Path) -> str:
    """Return what a file is called, also where its name is no text."""
    return path.name.encode(errors="replace").decode()


def _file(path: Path) -> _File:
    with path.open("rb"):
        pass  # what may not be read is said before anything is sent
    facts = path.stat()
    known_by = f"{path.absolute()} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
    return _File(path, facts.st_size, known_by)


def _size(part: bytes | _File) -> int:
    return part.size if isinstance(part, _File) else len(part)


def _piece(part: bytes | _File, offset: int, count: int) -> Iterator[bytes]:
    if not isinstance(part, _File):
        yield part[offset : offset + count]
        return
    with part.path.open("rb") as file:
        file.seek(offset)
        while count:
            block = file.read(min(_BLOCK, count))
            if not block:
                raise OSError(f"{part.path} became shorter while it was read")
            yield block
            count -= len(block)


def _head(name: str, size: int) -> bytes:
    head = tarfile.TarInfo(name)
    head.size = size
    return head.tobuf(tarfile.PAX_FORMAT)
