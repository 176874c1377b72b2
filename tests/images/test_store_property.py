"""Whatever is done with a store, in whatever order and at the same time: nothing is lost, nothing dangles."""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from hostler.images.export import Export, ExportForm
from hostler.images.ingest import Ingest
from hostler.images.store import ImageStore
from hostler.images.sweeping import remove_image, sweep
from hostler.images.verify import verify
from hostler.model.chunkindex import MIN_CHUNK_SIZE as GRID
from hostler.model.chunkindex import ChunkIndex
from hostler.model.stored_images import FaultKind


def chunk_of(letter: int) -> tuple[bytes, bytes]:
    """Return the digest and frame of a chunk filled with one byte."""
    plain = bytes([letter + 1]) * GRID
    return hashlib.sha256(plain).digest(), zstandard.compress(plain)


def index_of(letters: tuple[int, ...]) -> ChunkIndex:
    """Return the index of an image of such chunks."""
    entries = [(number, chunk_of(letter)[0]) for number, letter in enumerate(letters)]
    return ChunkIndex.build(GRID * len(letters), GRID, entries)


def bring(ingest: Ingest, letters: tuple[int, ...]) -> None:
    """Bring what is not known."""
    for letter in letters:
        digest, frame = chunk_of(letter)
        if not ingest.knows(digest.hex()):
            ingest.add_chunk(digest.hex(), frame)


def content(store: ImageStore, index: str, form: ExportForm = ExportForm.RAW) -> bytes:
    """Return an image as it is exported."""
    return b"".join(Export(store, index, form).pieces())


def plain_of(letters: tuple[int, ...]) -> bytes:
    """Return what an image of such chunks is."""
    return b"".join(bytes([letter + 1]) * GRID for letter in letters)


def names(store: ImageStore) -> set[str]:
    """Return the chunks that have a name."""
    return {path.name for directory in store.chunk_directories() for path in directory.iterdir()}


@dataclass
class Import:
    """An import under way."""

    letters: tuple[int, ...]
    context: AbstractContextManager[Ingest]
    ingest: Ingest
    over: bool = field(default=False)


_LETTERS = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple)


class Store(RuleBasedStateMachine):
    """Imports that begin, end and are given up, images that go, sweeps, damage and looks at all of it."""

    imports = Bundle("imports")

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp())
        self.store = ImageStore(self.place)
        self.images: dict[str, tuple[int, ...]] = {}
        self.open: list[Import] = []
        self.lost: set[str] = set()

    def teardown(self) -> None:
        for one in self.open:
            if not one.over:
                one.context.__exit__(None, None, None)
        shutil.rmtree(self.place)

    @rule(target=imports, letters=_LETTERS)
    def begin(self, letters: tuple[int, ...]) -> Import:
        """Begin to import, and bring what is not there."""
        context = self.store.ingest()
        one = Import(letters, context, context.__enter__())
        bring(one.ingest, letters)
        self.open.append(one)
        return one

    @rule(one=consumes(imports), well=st.booleans())
    def end(self, one: Import, well: bool) -> None:
        """Commit an import, or give it up."""
        if well:
            index = one.ingest.commit(index_of(one.letters))
            self.images[index] = one.letters
            # It brought or held all its chunks: what others lack of these is there again.
            self.lost -= {chunk_of(letter)[0].hex() for letter in one.letters}
        one.context.__exit__(None, None, None)
        one.over = True

    @rule(choose=st.randoms(use_true_random=False))
    def remove(self, choose: random.Random) -> None:
        """Remove an image."""
        if self.images:
            index = choose.choice(sorted(self.images))
            del self.images[index]
            remove_image(self.store, index)

    @rule()
    def sweep_up(self) -> None:
        """Sweep: what is left is what images need, and imports under way have what they hold."""
        told = sweep(self.store, dry_run=True)
        assert sweep(self.store) == told
        assert names(self.store) == self.store.references() - self.lost
        assert not list(self.store.damaged.iterdir())

    @rule(choose=st.randoms(use_true_random=False))
    def damage(self, choose: random.Random) -> None:
        """Damage a chunk that images need, and look: it is named with every one of them."""
        there = sorted(names(self.store) & self.store.references())
        if not there:
            return
        digest = choose.choice(there)
        path = self.store.chunk_path(digest)
        # A new file, as what is on a disk changes: imports hold the old one.
        (self.place / "other").write_bytes(zstandard.compress(b"other"))
        (self.place / "other").replace(path)
        found = verify(self.store, self.images)
        (fault,) = [fault for fault in found.faults if fault.kind is FaultKind.DAMAGED]
        needing = {i for i, letters in self.images.items() if digest in self.digests(letters)}
        assert (fault.id, set(fault.artefacts)) == (digest, needing)
        self.lost.add(digest)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every image is there, and all of it that was not damaged."""
        assert self.store.indexes() == sorted(self.images)
        self.lost &= self.store.references()
        found = verify(self.store, self.images)
        assert {fault.id for fault in found.faults} == self.lost
        for index, letters in self.images.items():
            if not self.digests(letters) & self.lost:
                assert content(self.store, index) == plain_of(letters)

    @invariant()
    def nothing_dangles(self) -> None:
        """There are no folders but those of imports under way."""
        assert len(list(self.store.tmp.iterdir())) == sum(not one.over for one in self.open)

    @staticmethod
    def digests(letters: tuple[int, ...]) -> set[str]:
        """Return the chunks of an image."""
        return {chunk_of(letter)[0].hex() for letter in letters}


Store.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_any_order = Store.TestCase


def test_all_at_once(tmp_path: Path) -> None:
    """Threads that import, remove, sweep, verify and export share chunks, and none loses any of its own."""
    store = ImageStore(tmp_path / "store")

    def work(seed: int) -> dict[str, tuple[int, ...]]:
        rnd = random.Random(seed)
        mine: dict[str, tuple[int, ...]] = {}
        for _ in range(60):
            act = rnd.randrange(6)
            if act <= 1 or not mine:
                # The last chunk is this thread's own, so that the image is; the others are everybody's.
                letters = (*(rnd.randrange(6) for _ in range(rnd.randrange(4))), 100 + seed)
                with store.ingest() as ingest:
                    bring(ingest, letters)
                    if rnd.random() < 0.8:
                        mine[ingest.commit(index_of(letters))] = letters
            elif act == 2:
                index = rnd.choice(sorted(mine))
                del mine[index]
                remove_image(store, index)
            elif act == 3:
                sweep(store)
            elif act == 4:
                assert verify(store, mine).faults == ()
            else:
                index = rnd.choice(sorted(mine))
                assert content(store, index) == plain_of(mine[index])
        return mine

    with ThreadPoolExecutor(4) as pool:
        left = list(pool.map(work, range(4)))
    images = {index: letters for one in left for index, letters in one.items()}
    assert store.indexes() == sorted(images)
    assert verify(store, images).faults == ()
    sweep(store)
    assert names(store) == store.references()
    assert not list(store.tmp.iterdir())
