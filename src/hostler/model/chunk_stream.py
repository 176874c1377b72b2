"""Many chunks in one HTTP answer, in the order they were asked for.

Each is eight bytes, big-endian: the length of its zstd frame, and then the frame. A length of 0 stands for a
chunk that the sender does not have.
"""

from __future__ import annotations

import struct

from hostler.model.chunkindex import MAX_CHUNK_SIZE

MOST = 32
"""Chunks in one request: their names fit in an address that every proxy passes on."""
MEDIA_TYPE = "application/x-hostler-chunks"
HEADER = 8
MAX_FRAME = MAX_CHUNK_SIZE + (MAX_CHUNK_SIZE >> 8) + 1024
"""What zstd makes of the largest chunk at worst (its ZSTD_COMPRESSBOUND), and some."""

_LENGTH = struct.Struct(">Q")


class ChunkStreamError(ValueError):
    """What came is not a stream of chunks."""


def header(length: int) -> bytes:
    """Return what goes before a frame of so many bytes; 0: there is no such chunk."""
    return _LENGTH.pack(length)


def length_of(data: bytes) -> int:
    """Read what ``header`` wrote; raises ChunkStreamError for what no frame can be."""
    if len(data) != HEADER:
        raise ChunkStreamError("the stream of chunks ends early")
    (length,) = _LENGTH.unpack(data)
    if length > MAX_FRAME:
        raise ChunkStreamError(f"a chunk of {length} bytes was announced, more than any can have")
    return int(length)
