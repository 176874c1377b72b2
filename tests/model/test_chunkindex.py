"""Chunk index: canonical encoding, total decoder, holes and extents."""

import hashlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.chunkindex import (
    MAGIC,
    MAX_CHUNK_SIZE,
    MIN_CHUNK_SIZE,
    Chunk,
    ChunkIndex,
    ChunkIndexError,
    digest_of_zeros,
    is_chunk_index,
)

GRID = MIN_CHUNK_SIZE
DIGEST = hashlib.sha256(b"x").digest()


def cut(image: bytes, grid: int = GRID) -> ChunkIndex:
    """Index a small image in the plainest way."""
    pieces = [(at // grid, image[at : at + grid]) for at in range(0, len(image), grid)]
    return ChunkIndex.build(
        len(image), grid, [(n, hashlib.sha256(piece).digest()) for n, piece in pieces if any(piece)]
    )


images = st.lists(
    st.one_of(st.just(bytes(GRID)), st.binary(min_size=1, max_size=3).map(lambda b: b.ljust(GRID, b"\1"))),
    max_size=12,
).flatmap(lambda blocks: st.binary(max_size=40).map(lambda tail: b"".join(blocks) + tail))


@given(images)
def test_round_trip(image: bytes) -> None:
    """Decoding what was encoded gives the same index, and its id is the hash of its bytes."""
    index = cut(image)
    encoded = index.encode()
    assert ChunkIndex.decode(encoded) == index
    assert index.id == hashlib.sha256(encoded).hexdigest()
    assert is_chunk_index(encoded)


@given(images)
def test_chunks_and_holes_cover_the_image_once(image: bytes) -> None:
    """Chunks carry the data, holes are zeros, and together they are the image with no gap or overlap."""
    index = cut(image)
    parts = sorted([(c.offset, c.length, c.digest) for c in index] + [(o, n, "") for o, n in index.holes()])
    end = 0
    for offset, length, digest in parts:
        assert offset == end
        assert length > 0
        piece = image[offset : offset + length]
        assert hashlib.sha256(piece).hexdigest() == digest if digest else not any(piece)
        end += length
    assert end == len(image)
    assert index.data_bytes == sum(c.length for c in index)


@given(images, st.sampled_from([GRID // 2, GRID, 2 * GRID, 4 * GRID]))
def test_extents_are_adjacent_aligned_runs(image: bytes, limit: int) -> None:
    """Extents list every chunk once, in order, without gaps, within the limit and its alignment."""
    index = cut(image)
    extents = list(index.extents(limit))
    assert [chunk for extent in extents for chunk in extent] == list(index)
    for extent in extents:
        for before, after in itertools.pairwise(extent):
            assert before.offset + before.length == after.offset
            assert after.offset // limit == before.offset // limit
        assert len(extent) == 1 or sum(chunk.length for chunk in extent) <= limit


@given(st.permutations(range(6)))
def test_the_order_of_building_does_not_matter(order: list[int]) -> None:
    """The same chunks in any order give the same bytes."""
    digests = [(n, hashlib.sha256(bytes([n])).digest()) for n in order]
    assert ChunkIndex.build(6 * GRID, GRID, digests) == ChunkIndex.build(6 * GRID, GRID, sorted(digests))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: MAGIC + tail))
def test_any_bytes_give_an_index_or_the_named_error(data: bytes) -> None:
    """The decoder is total, and what it accepts encodes to the very same bytes."""
    try:
        index = ChunkIndex.decode(data)
    except ChunkIndexError:
        return
    assert index.encode() == data


@given(
    size=st.integers(0, 5 * GRID),
    chunk_size=st.sampled_from([GRID, GRID - 1, 2 * GRID, 0, MAX_CHUNK_SIZE, MAX_CHUNK_SIZE * 2]),
    entries=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([DIGEST, digest_of_zeros(GRID)])), max_size=6
    ),
)
def test_well_formed_headers_are_held_to_the_rules(
    size: int, chunk_size: int, entries: list[tuple[int, bytes]]
) -> None:
    """An accepted table has ascending places inside the image; everything else is the named error."""
    table = b"".join(struct.pack(">Q32s", *entry) for entry in entries)
    data = struct.pack(">8sQQQ", MAGIC, size, chunk_size, len(entries)) + table
    try:
        index = ChunkIndex.decode(data)
    except ChunkIndexError:
        return
    assert index.encode() == data
    offsets = [chunk.offset for chunk in index]
    assert offsets == sorted(set(offsets))
    assert all(chunk.length > 0 and chunk.offset + chunk.length <= size for chunk in index)


@pytest.mark.parametrize(
    ("size", "chunk_size", "digests", "complaint"),
    [
        (GRID, GRID, [(0, digest_of_zeros(GRID))], "all zeros"),
        (GRID + 7, GRID, [(1, digest_of_zeros(7))], "all zeros"),
        (GRID, GRID, [(1, DIGEST)], "beyond the end"),
        (2 * GRID, GRID, [(1, DIGEST), (1, DIGEST)], "comes after"),
        (GRID, GRID + 1, [], "power of two"),
        (-1, GRID, [], "image size"),
        (GRID, GRID, [(0, b"short")], "digest of 5 bytes"),
        (GRID, GRID, [(-1, DIGEST)], "chunk -1"),
    ],
)
def test_what_cannot_be_an_index_is_refused(
    size: int, chunk_size: int, digests: list[tuple[int, bytes]], complaint: str
) -> None:
    """Each rule of the format has its own sentence."""
    with pytest.raises(ChunkIndexError, match=complaint):
        ChunkIndex.build(size, chunk_size, digests)


def test_the_encoding_is_fixed() -> None:
    """The id of a known image never changes: stored ids and signatures depend on it."""
    index = cut(bytes(GRID) + b"\1" * GRID + b"tail")
    assert list(index) == [
        Chunk(GRID, GRID, hashlib.sha256(b"\1" * GRID).hexdigest()),
        Chunk(2 * GRID, 4, hashlib.sha256(b"tail").hexdigest()),
    ]
    assert index.id == "fce2669712aab0e197d4aefa0a636c5c8f1ed5f6ad6514bacf5339e06d010fe8"
