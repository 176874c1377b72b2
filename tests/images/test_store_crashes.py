"""Killed at any moment, a store loses nothing and nothing dangles in it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from hostler.images.export import Export, ExportForm
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.images.sweeping import sweep
from hostler.images.verify import verify

GRID = 64 * 1024

WORK = """
import os, random, signal, sys
from pathlib import Path
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.images.sweeping import remove_image, sweep
from hostler.images.verify import verify

CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir"}
"""

# Forks a process for each change that the work makes to the file system, which is killed before that change.
AT_EVERY_CHANGE = (
    WORK
    + """
place, grid = Path(sys.argv[1]), int(sys.argv[2])

def work(store):
    index = import_image(place / "new", store, chunk_size=grid).index
    remove_image(store, (place / "old.index").read_text())
    verify(store, store.artefacts())
    sweep(store)
    import_image(place / "old", store, chunk_size=grid)
    remove_image(store, index)

def child(store, last):
    seen = 0
    def hook(event, details):
        nonlocal seen
        writes = event == "open" and isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in CHANGES or writes) and str(store.root) in str(details[0]):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    work(store)
    os._exit(0)

for number in range(1, 10_000):
    root = place / f"store-{number}"
    os.system(f"cp -a '{place}/store' '{root}'")
    pid = os.fork()
    if pid == 0:
        try:
            child(ImageStore(root), number)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if status == 0:
        break
    assert os.WIFSIGNALED(status), status
print(number - 1)
"""
)

# Does one thing after the other and tells before and after, until it is killed.
FOR_EVER = (
    WORK
    + """
place, grid, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rnd, store = random.Random(seed), ImageStore(Path(sys.argv[1]) / "store")
print("ready", flush=True)
while True:
    name = rnd.choice("abcd")
    if rnd.random() < 0.5:
        index = import_image(place / name, store, chunk_size=grid).index
        print("has", name, index, flush=True)
    elif rnd.random() < 0.7 and store.indexes():
        index = rnd.choice(store.indexes())
        print("removes", index, flush=True)
        remove_image(store, index)
    else:
        sweep(store)
"""
)


def content(store: ImageStore, index: str) -> bytes:
    """Return an image as it is exported."""
    return b"".join(Export(store, index, ExportForm.RAW).pieces())


def check(store: ImageStore, known: dict[bytes, str]) -> None:
    """Look whether all is well, before and after a sweep; ``known`` are the images there may be."""
    assert verify(store, store.artefacts()).faults == ()
    for index in store.indexes():
        assert content(store, index) in known
    before = store.indexes()
    sweep(store)
    assert store.indexes() == before
    there = {path.name for directory in store.chunk_directories() for path in directory.iterdir()}
    assert there == store.references()
    assert not list(store.tmp.iterdir())
    assert not list(store.damaged.iterdir())


def test_killed_before_any_change_of_the_file_system(tmp_path: Path) -> None:
    """An import, a removal, a set-aside and a sweep, killed before each file is made, renamed or removed."""
    rnd = random.Random(1)
    shared = rnd.randbytes(2 * GRID)
    old, new = shared + rnd.randbytes(GRID), shared + rnd.randbytes(2 * GRID)
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "new").write_bytes(new)
    store = ImageStore(tmp_path / "store")
    (tmp_path / "old.index").write_text(import_image(tmp_path / "old", store, chunk_size=GRID).index)
    done = subprocess.run(
        [sys.executable, "-c", AT_EVERY_CHANGE, str(tmp_path), str(GRID)],
        check=True, timeout=300, capture_output=True, text=True,
    )  # fmt: skip
    moments = int(done.stdout)
    assert moments > 30
    known = {old: "old", new: "new"}
    for number in range(1, moments + 1):
        crashed = ImageStore(tmp_path / f"store-{number}")
        held = {content(crashed, index) for index in crashed.indexes()}
        assert held, "one of the two is there at any moment"
        check(crashed, known)
        import_image(tmp_path / "new", crashed, chunk_size=GRID)
        import_image(tmp_path / "old", crashed, chunk_size=GRID)
        assert len(crashed.indexes()) == 2
        check(crashed, known)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Again and again over the same store: what was said to be there is there until it is removed."""
    rnd = random.Random()
    shared = rnd.randbytes(8 * GRID)
    known = {}
    for name in "abcd":
        data = shared + rnd.randbytes(8 * GRID)
        known[data] = name
        (tmp_path / name).write_bytes(data)
    store = ImageStore(tmp_path / "store")
    there: set[str] = set()
    for _ in range(8):
        arguments = [sys.executable, "-c", FOR_EVER, str(tmp_path), str(GRID), str(rnd.randrange(10**6))]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            said = [process.stdout.readline() for _ in range(rnd.randrange(1, 8))]
            process.send_signal(signal.SIGKILL)  # it is in the middle of what it does next
            said += process.stdout.readlines()
        for line in said:
            match line.split():
                case ["has", _, index]:
                    there.add(index)
                case ["removes", index]:
                    there.discard(index)
        assert there <= set(store.indexes())
        check(store, known)
    for name in "abcd":
        import_image(tmp_path / name, store, chunk_size=GRID)
    assert len(store.indexes()) == 4
    check(store, known)
