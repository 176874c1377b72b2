"""Block maps: those of ``bmaptool`` are read, and it takes those that are written here."""

from __future__ import annotations

import hashlib
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.images import bmap
from hostler.images.bmap import Bmap, BmapError, Mapped
from hostler.images.export import Export, ExportForm
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.chunkindex import ChunkIndex

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store."""
    return ImageStore(tmp_path / "store")


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A sparse file of 9 MiB and a bit, with data in three places."""
    path = tmp_path / "disk.img"
    rnd = random.Random(1)
    with path.open("wb") as file:
        for place, size in ((0, 5000), (3 * MIB, 2 * MIB), (9 * MIB, 700)):
            file.seek(place)
            file.write(rnd.randbytes(size))
        file.truncate(9 * MIB + 1536)
    return path


def made_by_bmaptool(image: Path) -> bytes:
    """Have the real tool make the map of a sparse file."""
    made = image.with_suffix(".bmap")
    subprocess.run(["bmaptool", "create", "-o", str(made), str(image)], check=True, timeout=60)
    return made.read_bytes()


def test_bmaptools_map_is_taken(store: ImageStore, sparse: Path) -> None:
    """With it, an image is the same as without: what it leaves out were holes."""
    found = import_image(sparse, store, block_map=made_by_bmaptool(sparse))
    assert found.index == import_image(sparse, store).index


def test_what_is_not_mapped_is_holes(store: ImageStore, sparse: Path, tmp_path: Path) -> None:
    """Old data between the mapped blocks is nothing that belongs to the image."""
    clean = import_image(sparse, store)
    block_map = made_by_bmaptool(sparse)
    data = bytearray(sparse.read_bytes())
    data[MIB : MIB + 100] = b"x" * 100
    dirty = tmp_path / "dirty"
    dirty.write_bytes(data)
    assert import_image(dirty, store, block_map=block_map).index == clean.index
    assert import_image(dirty, store).index != clean.index


@pytest.mark.parametrize(
    ("place", "length", "says"),
    [
        (3 * MIB, 0, "bytes 3145728 to 5242879 have another sha256 checksum"),
        (0, -512, "the image has 9438208 bytes, its block map speaks of 9438720"),
        (0, 512, "the image is longer than the 9438720 bytes of its block map"),
    ],
)
def test_a_map_of_another_image_is_refused(
    place: int, length: int, says: str, store: ImageStore, sparse: Path
) -> None:
    """A flipped byte or another length: nothing is kept, and it is said where."""
    block_map = made_by_bmaptool(sparse)
    data = bytearray(sparse.read_bytes())
    if length:
        data = data[:length] if length < 0 else data + bytes(length)
    else:
        data[place] ^= 1
    sparse.write_bytes(data)
    with pytest.raises(BmapError, match=says):
        import_image(sparse, store, block_map=block_map)
    assert not store.artefacts()
    assert not list(store.tmp.iterdir())


def with_checksum(text: str) -> bytes:
    """Put the right checksum of the map itself into it."""
    blank = text.replace("CHECKSUM", "0" * 64)
    return text.replace("CHECKSUM", hashlib.sha256(blank.encode()).hexdigest()).encode()


GOOD = """<bmap version="2.0"><ImageSize>8192</ImageSize><BlockSize>4096</BlockSize>
<BlocksCount>2</BlocksCount><MappedBlocksCount>1</MappedBlocksCount><ChecksumType>sha256</ChecksumType>
<BmapFileChecksum>CHECKSUM</BmapFileChecksum><BlockMap><Range>1</Range></BlockMap></bmap>"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<bmap", "<map", "it is no block map"),
        ('version="2.0"', 'version="3.0"', "version 3.0 is not known"),
        ("<BlocksCount>2<", "<BlocksCount>3<", "do not belong together"),
        ("<MappedBlocksCount>1<", "<MappedBlocksCount>2<", "speaks of 2 mapped blocks and lists 1"),
        ("<Range>1<", "<Range>2<", "beyond the end"),
        ("<Range>1<", "<Range>1-0<", "overlap others"),
        ("<Range>1<", "<Range>one<", "is no range of blocks"),
        ("sha256", "crc32", "'crc32' are not known"),
        ("<ImageSize>8192</ImageSize>", "", "ImageSize is missing"),
        ("<bmap", "<!DOCTYPE bmap [<!ENTITY a 'aa'>]><bmap", "it has a document type"),
        ("</bmap>", "", "no element found"),
    ],
)
def test_a_wrong_map_is_refused(old: str, new: str, says: str) -> None:
    """Whatever is wrong with it is said; nothing in it grows without bound."""
    assert bmap.read(with_checksum(GOOD)) == Bmap(8192, "sha256", (Mapped(4096, 8192, ""),))
    with pytest.raises(BmapError, match=says):
        bmap.read(with_checksum(GOOD.replace(old, new)))


def test_a_changed_map_is_refused() -> None:
    """It carries a checksum of itself."""
    with pytest.raises(BmapError, match="its own checksum is wrong"):
        bmap.read(with_checksum(GOOD).replace(b"<Range>1<", b"<Range>0<"))


def test_an_endless_map_is_refused(tmp_path: Path) -> None:
    """No more of it is read than a map has."""
    (tmp_path / "long.bmap").write_bytes(bytes(bmap.MOST_BYTES + 1))
    with pytest.raises(BmapError, match="more than the 33554432 bytes"):
        bmap.fetched(tmp_path / "long.bmap", None)


def test_an_old_map_is_taken() -> None:
    """Version 1.2 has no checksums, 1.3 has those of SHA-1."""
    old = GOOD.replace("2.0", "1.2").replace("<Range>", '<Range sha1="00">')
    assert bmap.read(old.encode()).ranges == (Mapped(4096, 8192, ""),)
    text = GOOD.replace("2.0", "1.3").replace("BmapFileChecksum", "BmapFileSHA1")
    text = text.replace("<Range>", '<Range sha1="ab">').replace("CHECKSUM", "0" * 40)
    right = text.replace("0" * 40, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    assert bmap.read(right.encode()) == Bmap(8192, "sha1", (Mapped(4096, 8192, "ab"),))


@pytest.mark.parametrize("form", ExportForm)
def test_bmaptool_copies_what_is_exported(
    form: ExportForm, store: ImageStore, sparse: Path, tmp_path: Path
) -> None:
    """The real tool takes image and map, checks every range, and leaves the holes alone."""
    found = import_image(sparse, store)
    exported = tmp_path / f"exported.{form}"
    exported.write_bytes(b"".join(Export(store, found.index, form).pieces()))
    made = tmp_path / "exported.bmap"
    made.write_bytes(bmap.written(store.index(found.index)))
    target = tmp_path / "target"
    command = ["bmaptool", "copy", "--bmap", str(made), str(exported), str(target)]
    said = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stderr
    assert "no bmap given" not in said
    assert target.read_bytes() == sparse.read_bytes()
    assert target.stat().st_blocks * 512 < 5 * MIB, "four chunks of the grid have data"
    exported.write_bytes(exported.read_bytes()[:-1] + b"\1")
    if form is ExportForm.RAW:
        wrong = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
        assert "checksum mismatch for blocks range" in wrong.stderr


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400_000), st.integers(1, 100_000))
def test_a_map_written_here_is_read_here(data: bytes, piece: int) -> None:
    """Whatever the image and however it comes in pieces, its own map changes nothing in it."""
    data += bytes(-len(data) % 512 or 512)
    grid = 64 * KIB
    cells = [data[at : at + grid] for at in range(0, len(data), grid)]
    digests = [(n, hashlib.sha256(cell).digest()) for n, cell in enumerate(cells) if any(cell)]
    index = ChunkIndex.build(len(data), grid, digests)
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    assert b"".join(bmap.applied(pieces, bmap.read(bmap.written(index)))) == data


def test_an_importer_that_breaks_a_map_leaves_nothing(store: ImageStore, sparse: Path) -> None:
    """A text that is no block map is refused before the image is read."""
    with pytest.raises(BmapError, match="cannot be read"):
        import_image(sparse, store, block_map=b"hello")
    assert not store.artefacts()
