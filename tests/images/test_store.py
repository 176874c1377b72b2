"""The store: whole or absent, shared chunks kept, damage noticed, nobody's chunks removed under them."""

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreBusyError, StoreError, StoreLimitError, UnknownArtefactError
from hostler.images.sweeping import remove_image, sweep
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
        remove_image(store, index_id)
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


def test_removal_takes_nothing_from_an_import(store: ImageStore) -> None:
    """What an import relies on may be removed under it, and nobody waits; it is there again at its end."""
    index_id = put(store, [1, 2])
    one, two = (chunk_of(letter)[0].hex() for letter in (1, 2))
    with store.ingest() as ingest:
        assert ingest.knows(one)
        remove_image(store, index_id)
        swept = sweep(store)
        assert (swept.chunks, swept.unfinished) == (0, 0), "an import under way is not unfinished"
        assert not store.chunk_path(one).exists()
        assert not ingest.knows(two)
        other = ingest.commit(ChunkIndex.build(GRID, GRID, [(0, chunk_of(1)[0])]))
    assert store.indexes() == [other]
    assert store.references() == {one}
    assert store.chunk_path(one).read_bytes() == chunk_of(1)[1]


class Interrupted(ImageStore):
    """A store whose users are interrupted: something else is done when they take its lock or keep a file."""

    when_locked: Callable[[], object] | None = None
    when_kept: Callable[[], object] | None = None

    def lock(self, seconds: float = 1.0) -> AbstractContextManager[None]:
        """Do that first."""
        todo, self.when_locked = self.when_locked, None
        if todo is not None:
            todo()
        return super().lock(seconds)

    def artefact_path(self, artefact: str) -> Path:
        """Do that first."""
        todo, self.when_kept = self.when_kept, None
        if todo is not None:
            todo()
        return super().artefact_path(artefact)


def test_a_sweep_looks_again_before_it_removes(store: ImageStore) -> None:
    """An image that comes after it has read the indexes keeps a chunk that nobody needed until then."""
    store.artefact_path(put(store, [1])).unlink()
    digest = chunk_of(1)[0].hex()
    sweeping = Interrupted(store.root)
    with store.ingest() as ingest:
        assert ingest.knows(digest)
        index = ChunkIndex.build(GRID, GRID, [(0, chunk_of(1)[0])])
        sweeping.when_locked = lambda: setattr(
            sweeping, "when_locked", lambda: ingest.commit(index)
        )  # the first lock is for the folder of this import, the second for the chunks
        assert sweep(sweeping).chunks == 0
    assert store.indexes() == [index.id]
    assert store.chunk_path(digest).exists()


def test_nobody_removes_between_the_chunks_and_their_index(store: ImageStore) -> None:
    """An import that is about to make its index visible is not overtaken by a sweep."""
    store.artefact_path(put(store, [1])).unlink()
    importing = Interrupted(store.root)
    sweeping = threading.Thread(target=sweep, args=[store])

    def overtake() -> None:
        sweeping.start()
        sweeping.join(0.5)

    with importing.ingest() as ingest:
        assert ingest.knows(chunk_of(1)[0].hex())
        importing.when_kept = overtake
        ingest.commit(ChunkIndex.build(GRID, GRID, [(0, chunk_of(1)[0])]))
    sweeping.join(60)
    assert {path.name for path in (store.root / "chunks").glob("*/*")} == store.references() != set()


def test_a_store_that_is_busy_says_so(store: ImageStore) -> None:
    """Waiting for the lock has an end."""
    with store.lock(), pytest.raises(StoreBusyError, match="try again later"), store.lock(0):
        pass


def test_a_sweep_tells_what_it_frees(store: ImageStore) -> None:
    """Unfinished imports, lost chunks and what was set aside go, with numbers; a dry run only tells them."""
    kept = put(store, [1, 2])
    lost = put(store, [2, 3])
    store.artefact_path(lost).unlink()  # as a crash of a removal leaves it
    folder = store.tmp / "0123"
    folder.mkdir()
    (folder / "half").write_bytes(bytes(100))
    (folder / "held").hardlink_to(store.chunk_path(chunk_of(1)[0].hex()))
    (store.damaged / chunk_of(9)[0].hex()).write_bytes(bytes(10))
    frame = len(chunk_of(3)[1])
    told = sweep(store, dry_run=True)
    assert (told.chunks, told.unfinished, told.damaged, told.freed_bytes) == (1, 1, 1, 110 + frame)
    assert folder.exists()
    before = store.used()
    assert sweep(store) == told
    assert before - store.used() == 10 + frame
    assert sweep(store).freed_bytes == 0
    assert store.references() == {path.name for path in (store.root / "chunks").glob("*/*")}
    assert store.indexes() == [kept]
    assert list(store.tmp.iterdir()) == list(store.damaged.iterdir()) == []


def test_what_is_lost_goes_with_its_chunks(store: ImageStore) -> None:
    """A file or index that no image has: a dry run tells the same numbers and removes nothing."""
    kept, lost = put(store, [1, 2]), put(store, [2, 3])
    kernel = store.add_artefact(b"kernel")
    size = store.used()
    told = sweep(store, [lost, kernel], dry_run=True)
    assert (told.artefacts, told.chunks) == (2, 1)
    assert store.used() == size
    assert sweep(store, [lost, kernel]) == told
    assert size - store.used() == told.freed_bytes
    assert store.artefacts() == [kept]
    assert store.references() == {path.name for path in (store.root / "chunks").glob("*/*")}


def test_no_chunk_goes_while_an_index_cannot_be_read(store: ImageStore) -> None:
    """Nobody knows what a damaged index speaks of; once it is removed, a sweep takes its chunks."""
    damaged, other = put(store, [1]), put(store, [2])
    path = store.artefact_path(damaged)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert sweep(store).kept_for == damaged
    assert remove_image(store, other) == 0
    remove_image(store, damaged)
    swept = sweep(store)
    assert (swept.chunks, swept.kept_for) == (2, "")
    assert list((store.root / "chunks").glob("*/*")) == []


def test_the_store_holds_no_more_than_it_may(store: ImageStore) -> None:
    """With numbers, before anything is kept, and also when two imports end at once."""
    put(store, [1])
    limit = store.used() + 200
    store.limit = lambda: limit
    noise = os.urandom(GRID)
    said = f"may hold {limit} bytes and holds {store.used()}"
    with pytest.raises(StoreLimitError, match=said), store.ingest() as ingest:
        ingest.add_chunk(hashlib.sha256(noise).hexdigest(), noise)
    with pytest.raises(StoreLimitError, match="at least 201 more"):
        store.add_artefact(b"x" * 201)
    index = ChunkIndex.build(GRID, GRID, [(0, chunk_of(3)[0])])
    with store.ingest() as one, store.ingest() as two:
        one.add_chunk(chunk_of(3)[0].hex(), chunk_of(3)[1])
        two.add_artefact(b"x" * 190)
        with pytest.raises(StoreLimitError, match="Nothing was kept"):
            one.commit(index)
    assert len(store.indexes()) == 1
    store.add_artefact(b"y" * 10)
    with pytest.raises(StoreLimitError, match="something more"), store.ingest():
        pass
    assert list(store.tmp.iterdir()) == []


def test_a_file_is_never_taken_for_an_index(store: ImageStore) -> None:
    """A system's file that begins as an index does would keep every sweep from removing chunks."""
    with pytest.raises(StoreError, match="no part of a system"):
        store.add_artefact([b"HSTL", b"IDX1 and more"])
    assert store.artefacts() == []


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
