"""A stored frame and the bytes it stands for."""

from __future__ import annotations

import hashlib

import pytest
import zstandard

from hostler.images.chunk_frame import DamagedChunkError, plain_chunk


@pytest.mark.parametrize("tail", [b"\0", zstandard.ZstdCompressor().compress(b"more")])
def test_a_frame_is_all_there_is(tail: bytes) -> None:
    """What follows it, be it another frame, is damage: exports hand out frames as they are."""
    plain = b"a chunk" * 1000
    digest = hashlib.sha256(plain).hexdigest()
    frame = zstandard.ZstdCompressor().compress(plain)
    assert plain_chunk(digest, frame) == plain
    with pytest.raises(DamagedChunkError, match="unused data"):
        plain_chunk(digest, frame + tail)
