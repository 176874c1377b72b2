"""What two images share, and where they differ, from their indexes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.model.stored_images import ImageDiff, Share

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.images.store import ImageStore
    from hostler.model.chunkindex import ChunkIndex


class DiffError(Exception):
    """Two images cannot be compared; the text says why."""


def diff(store: ImageStore, first: ChunkIndex, second: ChunkIndex) -> ImageDiff:
    """Compare two images; raises DiffError if their grids differ."""
    if first.chunk_size != second.chunk_size:
        raise DiffError(
            f"one image is cut into chunks of {first.chunk_size} bytes, the other of {second.chunk_size}: "
            "import one of them again"
        )
    mine, theirs = _lengths(first), _lengths(second)
    found = stretches(first, second)
    return ImageDiff(
        _share(store, mine, mine.keys() & theirs.keys()),
        _share(store, mine, mine.keys() - theirs.keys()),
        _share(store, theirs, theirs.keys() - mine.keys()),
        found,
        sum(length for _, length in found),
    )


def stretches(first: ChunkIndex, second: ChunkIndex) -> tuple[tuple[int, int], ...]:
    """Return offset and length of every stretch of the second image that is not as in the first.

    Both must have the same grid. What the second has beyond the end of the first is other, holes included:
    nobody knows what is there.
    """
    mine = {chunk.offset: chunk.digest for chunk in first}
    theirs = {chunk.offset: chunk.digest for chunk in second}
    spans = [
        (offset, min(offset + second.chunk_size, second.size))
        for offset in sorted(mine.keys() | theirs.keys())
        if offset < second.size and mine.get(offset) != theirs.get(offset)
    ]
    if second.size > first.size:
        spans = sorted([*spans, (first.size, second.size)])
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and start <= sum(found[-1]):
            begin, length = found.pop()
            found.append((begin, max(begin + length, end) - begin))
        else:
            found.append((start, end - start))
    return tuple(found)


def _lengths(index: ChunkIndex) -> dict[str, int]:
    return {chunk.digest: chunk.length for chunk in index}


def _share(store: ImageStore, lengths: dict[str, int], digests: Iterable[str]) -> Share:
    chunks = plain = stored = 0
    for digest in digests:
        chunks += 1
        plain += lengths[digest]
        try:
            stored += store.chunk_path(digest).stat().st_size
        except FileNotFoundError:
            continue  # damaged and set aside; `hostler.images.verify` tells
    return Share(chunks, plain, stored)
