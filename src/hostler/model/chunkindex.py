"""The chunk index: which chunks, in which order, make up an image.

An image of ``size`` bytes is cut on a fixed grid of ``chunk_size`` bytes; the last chunk may be shorter.
Chunks that hold nothing but zeros are *holes* and are left out. Every other chunk is named by the
SHA-256 of its plain bytes.

The encoding is canonical: the same bytes cut on the same grid give the same index, and so the same id
(the SHA-256 of the encoded index). All numbers are big-endian and unsigned::

    magic        8 bytes   b"HSTLIDX1"
    size         8 bytes   of the image
    chunk_size   8 bytes   a power of two
    count        8 bytes   number of entries
    entry        40 bytes  number of the chunk on the grid (8), SHA-256 of its plain bytes (32)
    ...                    in ascending order, nothing after the last one

The index knows nothing of disks: it describes any string of bytes. A signature is made over the encoded
bytes and travels beside them.

Only the standard library is used: the agent on a board reads indexes with this module.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"HSTLIDX1"
MIN_CHUNK_SIZE = 4 * 1024
MAX_CHUNK_SIZE = 16 * 1024 * 1024  # an agent holds a few chunks in memory, on boards of 512 MB
MAX_SIZE = 2**63 - 1  # off_t

_HEADER = struct.Struct(">8sQQQ")
_ENTRY = struct.Struct(">Q32s")


class ChunkIndexError(ValueError):
    """The bytes are not a chunk index, or the parts given cannot make one; the message says why."""


class Chunk(NamedTuple):
    """One piece of an image that is not a hole.

    Attributes:
        offset: Where it begins in the image, in bytes; a multiple of the chunk size.
        length: Its plain length in bytes.
        digest: SHA-256 of its plain bytes, lower-case hex.
    """

    offset: int
    length: int
    digest: str


@dataclass(frozen=True, slots=True)
class ChunkIndex:
    """An image as its size, its grid and its chunks, in ascending order.

    The entries stay packed (40 bytes each), so that the index of a large disk fits a small board; iterate
    to get ``Chunk`` values. Make one with ``build`` or ``decode``, which check it.

    Attributes:
        size: Length of the image in bytes.
        chunk_size: Width of the grid in bytes.
        table: The packed entries.
    """

    size: int
    chunk_size: int
    table: bytes

    @classmethod
    def build(cls, size: int, chunk_size: int, digests: Iterable[tuple[int, bytes]]) -> ChunkIndex:
        """Make an index.

        Args:
            size: Length of the image in bytes.
            chunk_size: Width of the grid in bytes; a power of two.
            digests: Number on the grid and raw SHA-256 of every chunk that is not all zero, in any order.

        Raises:
            ChunkIndexError: a number is off the grid or given twice, or a digest is that of zeros.
        """
        entries = sorted(digests)
        for number, digest in entries:
            if number < 0 or len(digest) != hashlib.sha256().digest_size:
                raise ChunkIndexError(
                    f"chunk {number} with a digest of {len(digest)} bytes cannot be in an index"
                )
        index = cls(size, chunk_size, b"".join(_ENTRY.pack(*entry) for entry in entries))
        index._check()
        return index

    @classmethod
    def decode(cls, data: bytes) -> ChunkIndex:
        """Read an encoded index.

        Raises:
            ChunkIndexError: anything but the canonical encoding of an index.
        """
        if len(data) < _HEADER.size:
            raise ChunkIndexError(f"chunk index of {len(data)} bytes is shorter than its header")
        magic, size, chunk_size, count = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ChunkIndexError(f"not a chunk index: it begins with {magic!r}, not {MAGIC!r}")
        expected = _HEADER.size + count * _ENTRY.size
        if len(data) != expected:
            raise ChunkIndexError(f"chunk index of {count} entries has {len(data)} bytes, not {expected}")
        index = cls(size, chunk_size, bytes(data[_HEADER.size :]))
        index._check()
        return index

    def encode(self) -> bytes:
        """Return the canonical encoding."""
        return _HEADER.pack(MAGIC, self.size, self.chunk_size, len(self)) + self.table

    @property
    def id(self) -> str:
        """SHA-256 of the encoding, lower-case hex: the artefact id of this index."""
        return hashlib.sha256(self.encode()).hexdigest()

    @property
    def data_bytes(self) -> int:
        """Plain bytes in all chunks, holes not counted."""
        return sum(chunk.length for chunk in self)

    def __len__(self) -> int:
        return len(self.table) // _ENTRY.size

    def __iter__(self) -> Iterator[Chunk]:
        for number, digest in _ENTRY.iter_unpack(self.table):
            yield Chunk(number * self.chunk_size, self._length(number), digest.hex())

    def holes(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of every stretch between chunks; it reads as zeros."""
        end = 0
        for chunk in self:
            if chunk.offset > end:
                yield end, chunk.offset - end
            end = chunk.offset + chunk.length
        if end < self.size:
            yield end, self.size - end

    def distinct(self) -> list[str]:
        """Return the digest of every chunk, each once, in the order in which they first occur."""
        return list(dict.fromkeys(chunk.digest for chunk in self))

    def extents(self, limit: int) -> Iterator[tuple[Chunk, ...]]:
        """Yield runs of adjacent chunks, each of at most ``limit`` bytes but never less than one chunk.

        A run never crosses a multiple of ``limit`` (if that is a multiple of the chunk size), so that
        writes stay aligned for flash media.
        """
        run: list[Chunk] = []
        for chunk in self:
            if run and (
                run[-1].offset + run[-1].length != chunk.offset
                or chunk.offset // limit != run[0].offset // limit
                or chunk.offset + chunk.length - run[0].offset > limit
            ):
                yield tuple(run)
                run = []
            run.append(chunk)
        if run:
            yield tuple(run)

    def _length(self, number: int) -> int:
        return min(self.chunk_size, self.size - number * self.chunk_size)

    def _check(self) -> None:
        """Raise ChunkIndexError unless this is the one index of its image."""
        if not 0 <= self.size <= MAX_SIZE:
            raise ChunkIndexError(f"image size {self.size} is not between 0 and {MAX_SIZE}")
        if not MIN_CHUNK_SIZE <= self.chunk_size <= MAX_CHUNK_SIZE or self.chunk_size & (self.chunk_size - 1):
            raise ChunkIndexError(
                f"chunk size {self.chunk_size} is no power of two from {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}"
            )
        places = -(-self.size // self.chunk_size)
        last = -1
        hole = digest_of_zeros(self.chunk_size)
        for number, digest in _ENTRY.iter_unpack(self.table):
            if number <= last:
                raise ChunkIndexError(f"chunk {number} comes after chunk {last}")
            if number >= places:
                raise ChunkIndexError(
                    f"chunk {number} begins beyond the end of an image of {self.size} bytes"
                )
            if digest == (hole if number < places - 1 else digest_of_zeros(self._length(number))):
                raise ChunkIndexError(f"chunk {number} is all zeros; holes are left out")
            last = number


@lru_cache(maxsize=8)
def digest_of_zeros(length: int) -> bytes:
    """Return the raw SHA-256 of that many zero bytes (at most a chunk's worth; it is really computed)."""
    return hashlib.sha256(bytes(length)).digest()


def is_chunk_index(data: bytes) -> bool:
    """Return whether these first bytes of a file are those of a chunk index."""
    return data[: len(MAGIC)] == MAGIC
