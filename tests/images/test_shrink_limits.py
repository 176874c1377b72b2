"""Shrinking that is called off, and shrinking without room for it."""

from __future__ import annotations

import hashlib
import shutil
import struct
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from disk_files import MIB, Part, disk_of, ext4
from hostler.images.captured import ShrinkProgress, shrink_image, store_capture
from hostler.images.importer import import_image
from hostler.images.shrink_estimate import estimate
from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreFullError
from hostler.model.capture_spool import INDEX_FILE, spool_name
from hostler.model.chunkindex import ChunkIndex


class GoneError(Exception):
    """Nobody waits any more."""


@pytest.fixture
def stored(tmp_path: Path) -> tuple[ImageStore, str]:
    """A store with an image that can be shrunk."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "data").write_bytes(b"data" * MIB)
    disk = tmp_path / "disk"
    disk_of(disk, 320, [Part(300, ext4(tmp_path / "root", 300, files))])
    store = ImageStore(tmp_path / "store")
    return store, import_image(disk, store).index


def test_shrinking_ends_wherever_it_is_called_off(stored: tuple[ImageStore, str]) -> None:
    """While it lays out, while a tool works and while it cuts; nothing of it stays."""
    store, index = stored
    told: list[int] = []
    shrink_image(store, index, lambda now: told.append(now.read))
    tools = next(at for at in range(len(told)) if told[at] == told[at + 1])  # all is laid out
    small = [artefact for artefact in store.indexes() if artefact != index]
    for artefact in small:
        store.artefact_path(artefact).unlink()
    for last in (1, tools + 3, len(told)):
        seen: list[int] = []

        def progress(now: ShrinkProgress, seen: list[int] = seen, last: int = last) -> None:
            seen.append(now.read)
            if len(seen) == last or now.read == max(told) == told[last - 1]:
                raise GoneError

        with pytest.raises(GoneError):
            shrink_image(store, index, progress)
        assert store.indexes() == [index]
        assert not list(store.tmp.iterdir())


def test_a_capture_is_called_off(stored: tuple[ImageStore, str]) -> None:
    """The spool stays for the next time, and nothing else."""
    store, index = stored
    spool = store.tmp / spool_name("r-1", 0)
    spool.mkdir()
    shutil.copyfile(store.artefact_path(index), spool / INDEX_FILE)
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) > len(store.index(index).distinct()) + 2:  # it is being laid out
            raise GoneError

    with pytest.raises(GoneError):
        store_capture(store, "r-1", 0, index, smaller=True, beat=beat)
    assert store.indexes() == [index]
    assert list(store.tmp.iterdir()) == [spool]


def test_a_fat_that_claims_a_table_of_gigabytes_is_not_looked_through(tmp_path: Path) -> None:
    """One small chunk may claim it, all the rest being holes; the estimate comes after every import."""
    head = bytearray(MIB)
    struct.pack_into("<HBHBHHBH", head, 11, 4096, 128, 32, 1, 0, 0, 0xF8, 0)
    struct.pack_into("<II", head, 32, 2**32 - 1, 2**20)
    head[82:87], head[510:512] = b"FAT32", b"\x55\xaa"
    (tmp_path / "disk").write_bytes(head)
    store = ImageStore(tmp_path / "store")
    stored = store.index(import_image(tmp_path / "disk", store).index)
    digest = bytes.fromhex(next(iter(stored)).digest)
    tracemalloc.start()
    try:
        assert estimate(store, ChunkIndex.build(8 << 30, MIB, [(0, digest)])) is None
        assert tracemalloc.get_traced_memory()[1] < 256 * MIB
    finally:
        tracemalloc.stop()


def test_an_image_larger_than_the_room_is_not_laid_out(tmp_path: Path) -> None:
    """Twice its data must be free before a byte is written, be it an image or a capture."""
    store = ImageStore(tmp_path / "store")
    plain = b"x" * MIB
    digest = hashlib.sha256(plain)
    path = store.chunk_path(digest.hexdigest())
    path.parent.mkdir()
    path.write_bytes(zstandard.ZstdCompressor().compress(plain))
    chunks = shutil.disk_usage(tmp_path).free * 3 // 4 // MIB  # half as much again: other tests free some
    index = ChunkIndex.build(chunks * MIB, MIB, [(number, digest.digest()) for number in range(chunks)])
    store.artefact_path(index.id).write_bytes(index.encode())

    def never(_: object = None) -> None:
        raise AssertionError("it is written")

    with pytest.raises(StoreFullError, match=f"{2 * chunks * MIB} are needed meanwhile"):
        shrink_image(store, index.id, never)
    spool = store.tmp / spool_name("r-1", 0)
    spool.mkdir()
    (spool / INDEX_FILE).write_bytes(index.encode())
    with pytest.raises(StoreFullError, match="no room to shrink"):
        store_capture(store, "r-1", 0, index.id, smaller=True)
    assert list(store.tmp.iterdir()) == [spool]
