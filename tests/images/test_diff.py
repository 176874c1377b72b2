"""Comparing images: what they share, what travels, where they differ."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.images.diff import DiffError, diff, stretches
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.chunkindex import MIN_CHUNK_SIZE as GRID
from hostler.model.chunkindex import ChunkIndex


def index_of(cells: list[int], cut: int) -> ChunkIndex:
    """An image of cells that are filled with a number; 0 is a hole; ``cut`` shortens the last cell."""
    size = len(cells) * GRID - cut
    last = len(cells) - 1
    digests = [(n, bytes([cell, 1 if cut and n == last else 0] * 16)) for n, cell in enumerate(cells) if cell]
    return ChunkIndex.build(size, GRID, digests)


def test_tomorrows_nightly(tmp_path: Path) -> None:
    """One changed chunk is new, one is gone, and the import stores no more than that."""
    store = ImageStore(tmp_path / "store")
    data = bytearray(random.Random(1).randbytes(20 * GRID) + bytes(10 * GRID))
    (tmp_path / "disk").write_bytes(data)
    today = import_image(tmp_path / "disk", store, chunk_size=GRID)
    assert (today.chunks_new, today.chunks_known) == (20, 0)
    data[5 * GRID] ^= 1
    data[25 * GRID] = 7
    (tmp_path / "disk").write_bytes(data)
    before = store.used()
    tomorrow = import_image(tmp_path / "disk", store, chunk_size=GRID)
    assert (tomorrow.chunks_new, tomorrow.chunks_known) == (2, 19)
    found = diff(store, store.index(today.index), store.index(tomorrow.index))
    assert (found.shared.chunks, found.shared.bytes) == (19, 19 * GRID)
    assert (found.gone.chunks, found.new.chunks) == (1, 2)
    assert found.new.stored_bytes == tomorrow.stored_bytes
    assert store.used() - before == tomorrow.stored_bytes + store.artefact_path(tomorrow.index).stat().st_size
    assert found.stretches == ((5 * GRID, GRID), (25 * GRID, GRID))
    assert found.differing_bytes == 2 * GRID
    assert diff(store, store.index(today.index), store.index(today.index)).stretches == ()


def test_images_on_different_grids_are_not_compared(tmp_path: Path) -> None:
    """Their chunks have nothing in common even where their bytes are the same."""
    store = ImageStore(tmp_path / "store")
    with pytest.raises(DiffError, match="4096 bytes, the other of 8192"):
        diff(store, ChunkIndex.build(GRID, GRID, []), ChunkIndex.build(GRID, 2 * GRID, []))


_CELLS = st.lists(st.integers(0, 3), min_size=1, max_size=12)
_CUT = st.sampled_from([0, 512, GRID - 512])


@given(_CELLS, _CUT, _CELLS, _CUT)
def test_stretches_are_where_images_differ(
    first: list[int], first_cut: int, second: list[int], second_cut: int
) -> None:
    """Every cell of the second is in a stretch if and only if the first has not the same there."""
    one, two = index_of(first, first_cut), index_of(second, second_cut)
    found = stretches(one, two)
    marked = [False] * (two.size // 512)
    last = -1
    for start, length in found:
        assert start > last
        assert length > 0
        last = start + length
        for sector in range(start // 512, last // 512):
            marked[sector] = True
    assert last <= two.size
    mine = {chunk.offset: chunk.digest for chunk in one}
    theirs = {chunk.offset: chunk.digest for chunk in two}
    for sector, is_marked in enumerate(marked):
        cell = sector * 512 // GRID * GRID
        same = sector * 512 < one.size and mine.get(cell) == theirs.get(cell)
        assert is_marked == (not same), sector
