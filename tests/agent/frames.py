"""Images, and their chunks from memory."""

from __future__ import annotations

import hashlib
import random

import zstandard

from hostler.model.chunkindex import ChunkIndex

MIB = 1024 * 1024


class Frames:
    """A source of chunks from memory."""

    def __init__(self, image: bytes, grid: int = MIB) -> None:
        self.frames: dict[str, bytes] = {}
        self.asked: list[str] = []
        entries = []
        for number in range(-(-len(image) // grid)):
            plain = image[number * grid : (number + 1) * grid]
            digest = hashlib.sha256(plain)
            if any(plain):
                entries.append((number, digest.digest()))
                self.frames[digest.hexdigest()] = zstandard.compress(plain)
        self.index = ChunkIndex.build(len(image), grid, entries)

    def chunk(self, digest: str, into: memoryview) -> int:
        """Copy a frame."""
        self.asked.append(digest)
        frame = self.frames[digest]
        into[: len(frame)] = frame
        return len(frame)


def image_of(size: int, seed: int = 7) -> bytes:
    """Return an image of random data and holes; the size need not be a multiple of anything."""
    rnd = random.Random(seed)
    whole = b"".join(rnd.choice([bytes(MIB), rnd.randbytes(MIB)]) for _ in range(size // MIB))
    return whole + rnd.randbytes(size % MIB)
