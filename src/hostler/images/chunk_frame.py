"""The plain bytes of a stored chunk, or an error: nothing is given out that is not what its name says."""

from __future__ import annotations

import hashlib

import zstandard

from hostler.images.store_errors import StoreError
from hostler.model.chunkindex import MAX_CHUNK_SIZE


class DamagedChunkError(StoreError):
    """A stored chunk is not what its name says."""


def plain_chunk(digest: str, frame: bytes) -> bytes:
    """Decompress the zstd frame of a chunk and check its hash.

    Args:
        digest: SHA-256 of its plain bytes, hexadecimal.
        frame: What the store holds under this name.

    Raises:
        DamagedChunkError: they do not belong together.
    """
    try:
        # A damaged header may promise terabytes, and so much memory would be asked for.
        length = zstandard.get_frame_parameters(frame).content_size
        if not 0 < length <= MAX_CHUNK_SIZE:
            raise DamagedChunkError(f"chunk {digest} is damaged: its frame promises {length} bytes")
        # What follows the frame has no part in the hash, and would be in every export of the frames.
        plain = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedChunkError(f"chunk {digest} is damaged: {error}") from error
    if hashlib.sha256(plain).hexdigest() != digest:
        raise DamagedChunkError(f"chunk {digest} is damaged: its bytes have another hash")
    return plain
