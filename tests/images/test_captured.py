"""A capture on its way from the spool into the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from disk_files import MIB, Part, disk_of, ext4
from hostler.images.captured import MissingChunksError, drop_spools, store_capture
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreFullError, StoreLimitError
from hostler.images.sweeping import sweep
from hostler.model.capture_spool import INDEX_FILE, spool_name
from hostler.model.chunkindex import ChunkIndex


@pytest.fixture
def handed_in(tmp_path: Path) -> tuple[ImageStore, str, Path]:
    """An empty store with a spool in which an agent's disk is, and the id of its index."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "data").write_bytes(b"data" * MIB)
    disk = tmp_path / "disk"
    disk_of(disk, 320, [Part(300, ext4(tmp_path / "root", 300, files))])
    other, store = ImageStore(tmp_path / "other"), ImageStore(tmp_path / "store")
    index = import_image(disk, other).index
    spool = store.tmp / spool_name("r-1", 0)
    spool.mkdir()
    for digest in other.index(index).distinct():
        shutil.copyfile(other.chunk_path(digest), spool / digest)
    (spool / INDEX_FILE).write_bytes(other.artefact_path(index).read_bytes())
    return store, index, spool


def test_a_capture_is_stored_and_may_be_asked_for_again(handed_in: tuple[ImageStore, str, Path]) -> None:
    """The same twice is the same once; what was handed in goes with its run, the image stays."""
    store, index, _ = handed_in
    for _ in range(2):
        assert store_capture(store, "r-1", 0, index, smaller=False).index == index
    drop_spools(store, {"r-1"})
    assert len(list(store.tmp.iterdir())) == 1
    drop_spools(store, set())
    assert not list(store.tmp.iterdir())
    assert sweep(store).chunks == 0
    assert store.references() == set(store.index(index).distinct())


def test_a_capture_is_made_smaller_on_its_way(handed_in: tuple[ImageStore, str, Path]) -> None:
    """The image is the smaller one alone, and its size before is told."""
    store, index, _ = handed_in
    stored = store_capture(store, "r-1", 0, index, smaller=True)
    assert stored.size < 150 * MIB
    assert (stored.shrunk_from, stored.shrink_note) == (320 * MIB, "")
    assert store.indexes() == [stored.index] != [index]


def test_a_capture_that_lacks_a_chunk_leaves_nothing(handed_in: tuple[ImageStore, str, Path]) -> None:
    """Nor one without its index, or with another's; it may be stored once all of it is there."""
    store, index, spool = handed_in
    digest = next(path for path in spool.iterdir() if path.name != INDEX_FILE)
    kept = digest.read_bytes()
    digest.unlink()
    for run, wanted in (("r-1", index), ("r-1", "0" * 64), ("r-2", index)):
        with pytest.raises(MissingChunksError):
            store_capture(store, run, 0, wanted, smaller=False)
        assert store.indexes() == []
    digest.write_bytes(kept)
    assert store_capture(store, "r-1", 0, index, smaller=False).index == index


def test_a_capture_keeps_to_the_limit_of_the_store(handed_in: tuple[ImageStore, str, Path]) -> None:
    """Then nothing of it is kept, and the numbers are told."""
    store, index, _ = handed_in
    store.limit = lambda: 1000
    with pytest.raises(StoreLimitError, match="may hold 1000 bytes"):
        store_capture(store, "r-1", 0, index, smaller=False)
    assert store.indexes() == []


def test_a_capture_keeps_to_the_share_that_was_left(handed_in: tuple[ImageStore, str, Path]) -> None:
    """It is the data of what would be stored that counts; the numbers are told, and nothing is kept."""
    store, index, spool = handed_in
    data = ChunkIndex.decode((spool / INDEX_FILE).read_bytes()).data_bytes
    for most, smaller in ((data - 1, False), (1, True)):
        with pytest.raises(StoreFullError, match=rf"bytes of data, and {most} were left .*image_limit_per"):
            store_capture(store, "r-1", 0, index, smaller=smaller, most_data=most)
        assert store.indexes() == []
    assert store_capture(store, "r-1", 0, index, smaller=False, most_data=data).data_bytes == data
