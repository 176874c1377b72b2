"""Giving images out: the same bytes, any part of them, and never a damaged one."""

from __future__ import annotations

import random
import subprocess
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.images.chunk_frame import DamagedChunkError
from hostler.images.export import Export, ExportForm
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreError
from hostler.model.chunkindex import ChunkIndex

KIB = 1024
GRID = 64 * KIB
IMAGE = (
    random.Random(1).randbytes(100 * KIB) + bytes(300 * KIB) + b"text " * 40_000 + bytes(GRID) + b"end" * 172
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageStore, str]:
    """A store with an image."""
    place = tmp_path_factory.mktemp("export")
    (place / "disk").write_bytes(IMAGE)
    store = ImageStore(place / "store")
    return store, import_image(place / "disk", store, chunk_size=GRID).index


def padded() -> bytes:
    """The image as a disk has it."""
    return IMAGE + bytes(-len(IMAGE) % 512)


def test_raw_is_what_came_in(stored: tuple[ImageStore, str]) -> None:
    """Holes are zeros again."""
    found = Export(*stored, ExportForm.RAW)
    assert found.size == len(padded())
    assert b"".join(found.pieces()) == padded()


def test_zstd_reads_it(stored: tuple[ImageStore, str], tmp_path: Path) -> None:
    """The frames one after the other are a file for the real tool, smaller than the image."""
    found = Export(*stored, ExportForm.ZSTD)
    data = b"".join(found.pieces())
    assert len(data) == found.size < len(padded())
    path = tmp_path / "disk.zst"
    path.write_bytes(data)
    plain = subprocess.run(["zstd", "-dc", str(path)], check=True, capture_output=True, timeout=60).stdout
    assert plain == padded()
    assert import_image(path, stored[0], chunk_size=GRID).index == stored[1], "and it may come in again"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(form=st.sampled_from(ExportForm), start=st.integers(0, 700_000), length=st.integers(0, 200_000))
def test_any_part_can_be_had(
    stored: tuple[ImageStore, str], form: ExportForm, start: int, length: int
) -> None:
    """A download that broke off goes on where it was."""
    found = Export(*stored, form)
    whole = b"".join(found.pieces())
    assert b"".join(found.pieces(start, start + length)) == whole[start : start + length]
    assert b"".join(found.pieces(start)) == whole[start:]


@pytest.mark.parametrize("form", ExportForm)
def test_a_damaged_chunk_is_not_given_out(form: ExportForm, tmp_path: Path) -> None:
    """It ends before the first wrong byte; a missing one is named at once or when it is its turn."""
    (tmp_path / "disk").write_bytes(IMAGE)
    store = ImageStore(tmp_path / "store")
    index = import_image(tmp_path / "disk", store, chunk_size=GRID).index
    second = list(store.index(index))[1]
    path = store.chunk_path(second.digest)
    path.write_bytes(zstandard.compress(b"x" * second.length))
    found = Export(store, index, form)
    given: list[bytes] = []
    with pytest.raises(DamagedChunkError, match=second.digest):
        given.extend(found.pieces())
    if form is ExportForm.RAW:
        assert b"".join(given) == padded()[:GRID]
    path.unlink()
    with pytest.raises(StoreError, match="is missing from the store"):
        list(Export(store, index, form).pieces())
    assert Export(store, index, ExportForm.RAW).tag != index


def test_a_tag_changes_with_the_bytes(stored: tuple[ImageStore, str], tmp_path: Path) -> None:
    """A chunk compressed in another way makes another zst file, and the same raw one."""
    (tmp_path / "disk").write_bytes(IMAGE)
    store = ImageStore(tmp_path / "store")
    index = import_image(tmp_path / "disk", store, chunk_size=GRID).index
    assert index == stored[1]
    raw, zst = (Export(store, index, form).tag for form in ExportForm)
    assert (raw, zst) == tuple(Export(*stored, form).tag for form in ExportForm)
    chunk = next(iter(store.index(index)))
    plain = zstandard.decompress(store.chunk_path(chunk.digest).read_bytes())
    store.chunk_path(chunk.digest).write_bytes(zstandard.compress(plain, 1) + zstandard.compress(b""))
    assert Export(store, index, ExportForm.RAW).tag == raw
    assert Export(store, index, ExportForm.ZSTD).tag != zst


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.booleans(), max_size=6), tail=st.integers(1, 8), form=st.sampled_from(ExportForm))
def test_holes_may_lie_anywhere(
    places: list[bool], tail: int, form: ExportForm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At the beginning, at the end, several in a row, and in a last place that is shorter."""
    grid = 4 * KIB
    image = b"".join(
        bytes([number + 1]) * grid if full else bytes(grid) for number, full in enumerate(places)
    )
    image = image[: max(0, len(image) - grid)] + image[-grid:][: tail * 512]
    place = tmp_path_factory.mktemp("holes")
    (place / "disk").write_bytes(image or bytes(512))
    image = image or bytes(512)
    store = ImageStore(place / "store")
    found = Export(store, import_image(place / "disk", store, chunk_size=grid).index, form)
    whole = b"".join(found.pieces())
    assert len(whole) == found.size
    plain = whole
    if form is ExportForm.ZSTD:
        plain = zstandard.ZstdDecompressor().stream_reader(whole, read_across_frames=True).read()
    assert plain == image
    for start in range(0, found.size, 511):
        assert b"".join(found.pieces(start)) == whole[start:]


@pytest.mark.parametrize("form", ExportForm)
def test_holes_cost_nothing(form: ExportForm, stored: tuple[ImageStore, str]) -> None:
    """An image of 4 TiB with one chunk takes no more memory than a small one, and its end can be had."""
    store, index = stored
    digest = next(iter(store.index(index))).digest
    huge = ChunkIndex.build(4 * 1024**4, GRID, [(1_000_000, bytes.fromhex(digest))])
    artefact = huge.id
    store.artefact_path(artefact).write_bytes(huge.encode())
    Export(store, artefact, form)  # what is computed once for all
    tracemalloc.start()
    try:
        found = Export(store, artefact, form)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 100_000
    if form is ExportForm.RAW:
        assert found.size == huge.size
        assert b"".join(found.pieces(1_000_000 * GRID - 1, 1_000_001 * GRID + 1)) == bytes(1) + IMAGE[
            :GRID
        ] + bytes(1)
    else:
        last = b"".join(found.pieces(found.size - 10))
        assert len(last) == 10
        frame = store.chunk_path(digest).read_bytes()
        begin = (found.size - len(frame)) // (4 * 1024**4 // GRID - 1) * 1_000_000
        assert b"".join(found.pieces(begin, begin + len(frame))) == frame


def test_an_empty_frame_is_not_passed_over(tmp_path: Path) -> None:
    """A chunk whose file lost its content is damage, though it takes no room in what is given out."""
    (tmp_path / "disk").write_bytes(IMAGE)
    store = ImageStore(tmp_path / "store")
    index = import_image(tmp_path / "disk", store, chunk_size=GRID).index
    store.chunk_path(list(store.index(index))[1].digest).write_bytes(b"")
    for form in ExportForm:
        with pytest.raises(StoreError):
            list(Export(store, index, form).pieces())
