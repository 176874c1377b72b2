"""The store: whole or absent, shared chunks kept, damage noticed, nobody's chunks removed under them."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.images.store import ImageStore, StoreBusyError, StoreError, UnknownArtefactError
from hostler.model.chunkindex import MIN_CHUNK_SIZE, ChunkIndex

GRID = MIN_CHUNK_SIZE


def chunk_of(letter: int) -> tuple[bytes, bytes]:
    """Return the digest and frame of a chunk filled with one byte."""
    plain = bytes([letter + 1]) * GRID
    return hashlib.sha256(plain).digest(), zstandard.compress(plain)


def put(store: ImageStore, letters: list[int]) -> str:
    """Store an image made of such chunks."""
    with store.ingest() as ingest:
        entries = []
        for number, letter in enumerate(letters):
            digest, frame = chunk_of(letter)
            entries.append((number, digest))
            if not ingest.knows(digest.hex()):
                ingest.add_chunk(digest.hex(), frame)
        return ingest.commit(ChunkIndex.build(GRID * len(letters), GRID, entries))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store."""
    return ImageStore(tmp_path / "store")


def test_artefacts_are_named_by_their_bytes(store: ImageStore, tmp_path: Path) -> None:
    """A file or bytes get the id of their content, twice the same, and come back whole."""
    (tmp_path / "kernel").write_bytes(b"kernel")
    artefact = store.add_artefact(tmp_path / "kernel")
    assert artefact == hashlib.sha256(b"kernel").hexdigest()
    assert store.add_artefact(b"kernel") == artefact
    assert store.artefact_path(artefact).read_bytes() == b"kernel"
    assert (store.artefacts(), store.indexes()) == ([artefact], [])
    store.remove_artefact(artefact)
    store.remove_artefact(artefact)
    assert store.artefacts() == []


@settings(max_examples=40, deadline=None)
@given(images=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=5), min_size=1, max_size=4))
def test_removal_keeps_what_others_need(
    tmp_path_factory: pytest.TempPathFactory, images: list[list[int]]
) -> None:
    """However images share chunks, removing them one by one leaves exactly the chunks the rest need."""
    store = ImageStore(tmp_path_factory.mktemp("store"))
    left = {put(store, letters): letters for letters in images}
    while left:
        index_id, _ = left.popitem()
        store.remove_image(index_id)
        needed = {chunk_of(letter)[0].hex() for letters in left.values() for letter in letters}
        assert {path.name for path in (store.root / "chunks").glob("*/*")} == needed == store.references()
        assert store.indexes() == sorted(left)


def test_an_image_without_its_chunks_is_not_committed(store: ImageStore) -> None:
    """An index becomes visible only when every chunk is there."""
    digest, _ = chunk_of(1)
    index = ChunkIndex.build(GRID, GRID, [(0, digest)])
    with store.ingest() as ingest, pytest.raises(StoreError, match="is not in the store"):
        ingest.commit(index)
    assert store.indexes() == []


def test_removal_waits_for_imports(store: ImageStore) -> None:
    """While an import relies on chunks that are there, none of them can be removed."""
    index_id = put(store, [1, 2])
    with store.ingest() as ingest:
        assert ingest.knows(chunk_of(1)[0].hex())
        with pytest.raises(StoreBusyError, match="try again later"):
            store.remove_image(index_id, lock_seconds=0.1)
        with pytest.raises(StoreBusyError):
            store.sweep(lock_seconds=0)
        waiting = threading.Thread(target=store.remove_image, args=[index_id])
        waiting.start()
        other = ingest.commit(ChunkIndex.build(GRID, GRID, [(0, chunk_of(1)[0])]))
    waiting.join(10)
    assert store.indexes() == [other]
    assert store.references() == {chunk_of(1)[0].hex()}
    assert store.chunk_path(chunk_of(1)[0].hex()).exists()


def test_two_imports_at_once_share(store: ImageStore) -> None:
    """Imports of the same chunk side by side both end well and leave one file."""
    digest, frame = chunk_of(3)
    index = ChunkIndex.build(GRID, GRID, [(0, digest)])
    with store.ingest() as one, store.ingest() as two:
        for ingest in (one, two):
            assert not ingest.knows(digest.hex())
            ingest.add_chunk(digest.hex(), frame)
        assert one.commit(index) == two.commit(index)
    assert len(list((store.root / "chunks").glob("*/*"))) == 1
    assert list((store.root / "tmp").iterdir()) == []


def test_damage_is_noticed(store: ImageStore) -> None:
    """An index whose bytes changed, or an artefact that is none, is not used."""
    index_id = put(store, [1])
    path = store.artefact_path(index_id)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(StoreError, match="damaged"):
        store.index(index_id)
    with pytest.raises(StoreError, match="not a chunk index"):
        store.index(store.add_artefact(os.urandom(100)))
    with pytest.raises(UnknownArtefactError):
        store.index("0" * 64)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 63 + "/"])
def test_only_digests_are_names(name: str, store: ImageStore) -> None:
    """No path can be made from anything but 64 lower-case hex digits."""
    with pytest.raises(StoreError):
        store.chunk_path(name)
    with pytest.raises(StoreError):
        store.artefact_path(name)


def test_the_index_of_an_image_is_no_plain_artefact(store: ImageStore) -> None:
    """Removing an index as if it were a kernel would orphan its chunks and is refused."""
    with pytest.raises(StoreError, match="remove the image"):
        store.remove_artefact(put(store, [1]))
