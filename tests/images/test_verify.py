"""Looking through a store: whatever is wrong is found and named, and what is set aside can come again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import zstandard

from hostler.images.importer import ImportProgress, import_image
from hostler.images.store import ImageStore
from hostler.images.sweeping import remove_image
from hostler.images.verify import verify
from hostler.model.chunkindex import MIN_CHUNK_SIZE as GRID
from hostler.model.stored_images import FaultKind

SHARED = random.Random(1).randbytes(4 * GRID)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """A store with two images that share four chunks."""
    store = ImageStore(tmp_path / "store")
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(SHARED + name.encode() * 2000)
        import_image(tmp_path / name, store, chunk_size=GRID)
    store.add_artefact(b"kernel")
    return store


def damage_bytes(path: Path) -> None:
    """Flip a bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_size(path: Path) -> None:
    """Have the frame's header promise more than any memory."""
    path.write_bytes(b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + b"\x7f" + path.read_bytes()[9:])


def damage_swap(path: Path) -> None:
    """A whole frame, of other bytes."""
    path.write_bytes(zstandard.compress(b"other"))


def damage_end(path: Path) -> None:
    """Cut it off."""
    path.write_bytes(path.read_bytes()[:-1])


def damage_all(path: Path) -> None:
    """An empty file, as a file system leaves it that lost data."""
    path.write_bytes(b"")


def test_a_clean_store_is_clean(store: ImageStore) -> None:
    """Every chunk and every file counts, each once."""
    told: list[int] = []
    found = verify(store, store.artefacts(), lambda now: told.append(now.read))
    assert found.faults == ()
    assert (found.chunks, found.artefacts) == (4 + 2 + 2, 3)
    assert found.read_bytes == store.used() == told[-1]


@pytest.mark.parametrize("damage", [damage_bytes, damage_size, damage_swap, damage_end, damage_all])
def test_a_damaged_chunk_is_named_set_aside_and_healed(
    damage: object, store: ImageStore, tmp_path: Path
) -> None:
    """With both images it belongs to; one import of either makes both whole."""
    shared = next(iter(store.index(store.indexes()[0])))
    damage(store.chunk_path(shared.digest))  # type: ignore[operator]
    found = verify(store, store.artefacts())
    (fault,) = found.faults
    assert (fault.kind, fault.id, fault.chunk) == (FaultKind.DAMAGED, shared.digest, True)
    assert sorted(fault.artefacts) == store.indexes()
    assert not store.chunk_path(shared.digest).exists()
    assert [path.name for path in store.damaged.iterdir()] == [shared.digest]
    (fault,) = verify(store, store.artefacts()).faults
    assert fault.kind is FaultKind.MISSING
    import_image(tmp_path / "one", store, chunk_size=GRID)
    assert verify(store, store.artefacts()).faults == ()


def test_damaged_files_are_named(store: ImageStore, tmp_path: Path) -> None:
    """An index or a kernel stays where it is, and the same import brings it anew."""
    index = import_image(tmp_path / "one", store, chunk_size=GRID).index
    kernel = store.add_artefact(b"kernel")
    for artefact in (index, kernel):
        damage_bytes(store.artefact_path(artefact))
    found = verify(store, [index, kernel, "0" * 64])
    kinds = {fault.id: fault.kind for fault in found.faults}
    assert kinds == {index: FaultKind.DAMAGED, kernel: FaultKind.DAMAGED, "0" * 64: FaultKind.MISSING}
    assert not any(fault.chunk for fault in found.faults)
    import_image(tmp_path / "one", store, chunk_size=GRID)
    store.add_artefact(b"kernel")
    assert verify(store, store.artefacts()).faults == ()


def test_an_image_removed_meanwhile_is_no_fault(store: ImageStore, tmp_path: Path) -> None:
    """What goes with its image is not missed."""
    index = import_image(tmp_path / "one", store, chunk_size=GRID).index
    removed = False

    def remove(now: ImportProgress) -> None:
        nonlocal removed
        if now.total and not removed:  # the chunks are being read
            removed = True
            remove_image(store, index)

    assert verify(store, store.artefacts(), remove).faults == ()
    assert removed


def test_it_can_be_cancelled(store: ImageStore) -> None:
    """What the progress raises ends the work."""

    class EnoughError(Exception):
        pass

    def stop(_: object) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        verify(store, store.artefacts(), stop)
