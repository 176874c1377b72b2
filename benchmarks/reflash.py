"""Writing an image over another version of itself: the agent beside those that send and write it all (root).

    python benchmarks/reflash.py [--repeat 3] [--size-mib 512] [--changed 0.05] [--json FILE] [--dir DIR]

The disk is a loop device throttled to 60 MB/s of writing and 200 MB/s of reading. Every way but the last two
begins with the same old version on the disk, of which the new one differs in the given share of its chunks.
The agent's times include its proof: what is written is read back past the page cache. The others have none.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chunk_server import TOKEN, ChunkServer, chunk_server, no_stop
from hostler.agent.console import Console
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.work import Work
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from slow_disk import fill, slow_disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.agent.install import Installed
    from hostler.model.chunkindex import ChunkIndex

MIB = 1024 * 1024
READ, WRITE = 200_000_000, 60_000_000
SECONDS = 600


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size-mib", type=int, default=512)
    parser.add_argument("--changed", type=float, default=0.05)
    parser.add_argument("--json", type=Path)
    # In memory nobody else's disk I/O is in the way; Linux has direct I/O there from 6.6 on.
    parser.add_argument(
        "--dir", type=Path, default=Path("/dev/shm"), help="where to write; a file system with direct I/O"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="reflash-") as place:
        return measure(Path(place), options)


def measure(place: Path, options: argparse.Namespace) -> int:
    size = options.size_mib * MIB
    old, new, other, packed = (place / name for name in ("old", "new", "other", "new.zst"))
    rnd = random.Random(1)
    old.write_bytes(b"".join(rnd.randbytes(MIB) for _ in range(options.size_mib)))
    other.write_bytes(b"".join(rnd.randbytes(MIB) for _ in range(options.size_mib)))
    content = bytearray(old.read_bytes())
    changed = rnd.sample(range(options.size_mib), round(options.changed * options.size_mib))
    for number in changed:
        content[number * MIB : (number + 1) * MIB] = rnd.randbytes(MIB)
    new.write_bytes(content)
    subprocess.run(["zstd", "-q", "-1", str(new), "-o", str(packed)], check=True, timeout=SECONDS)
    subprocess.run(
        ["bmaptool", "create", "-o", str(place / "new.bmap"), str(new)], check=True, capture_output=True,
        timeout=SECONDS,
    )  # fmt: skip
    store = ImageStore(place / "store")
    index = store.index(import_image(new, store).index)
    with (
        chunk_server(store.root) as server,
        slow_disk(place / "disk", size + 16 * MIB, READ, WRITE) as disk,
    ):
        bmap = f"bmaptool copy --bmap {place / 'new.bmap'} {packed} {disk}"
        pipe = f"zstd -dc {packed} | dd of={disk} oflag=direct bs=4M iflag=fullblock conv=fsync"
        ways: dict[str, tuple[Path, Callable[[], Installed | None]]] = {
            "agent, all of it": (old, lambda: agent(index, disk, server, look=False)),
            "agent, what differs": (old, lambda: agent(index, disk, server, look=True)),
            "bmaptool copy (zst)": (old, lambda: peer(bmap)),
            "zstd -dc | dd direct": (old, lambda: peer(pipe)),
            "agent, same image": (new, lambda: agent(index, disk, server, look=True)),
            "agent, other data": (other, lambda: agent(index, disk, server, look=True)),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        results: dict[str, Installed | None] = {}
        names = list(ways)
        for turn in range(options.repeat):  # in turn, so that a noisy moment hits all
            first = turn % len(names)  # what comes before it must not favour any
            for name in [*names[first:], *names[:first]]:
                before, way = ways[name]
                fill(disk, before)
                begun = time.perf_counter()
                results[name] = way()
                times[name].append(time.perf_counter() - begun)
                if len(times[name]) == 1:
                    subprocess.run(["cmp", "-n", str(size), str(new), str(place / "disk")], check=True)
    return report(options, times, results, len(changed) * MIB)


def agent(index: ChunkIndex, disk: Path, server: ChunkServer, *, look: bool) -> Installed:
    console = Console(sys.stderr)
    rack = Rack(BootConfig(f"http://127.0.0.1:{server.port}", TOKEN, "b", "b"), console, no_stop())
    with Media(disk, write=True) as media:
        return install(index, media, rack, Work(console.say), look=look)


def peer(command: str) -> None:
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True, timeout=SECONDS
    )


def report(
    options: argparse.Namespace,
    times: dict[str, list[float]],
    results: dict[str, Installed | None],
    changed: int,
) -> int:
    seconds = {name: statistics.median(taken) for name, taken in times.items()}
    whole = seconds["agent, all of it"]
    print(
        f"image of {options.size_mib} MiB, {options.changed:.0%} of it changed; disk reads "
        f"{READ / 1e6:.0f} MB/s, writes {WRITE / 1e6:.0f} MB/s; medians of {options.repeat}"
    )
    print(f"{'way':<24}{'seconds':>9}{'of whole':>10}{'MB fetched':>12}")
    for name, took in seconds.items():
        result = results[name]
        fetched = f"{result.fetched_bytes / 1e6:>12.1f}" if result else f"{'all':>12}"
        print(f"{name:<24}{took:>9.2f}{took / whole:>10.2f}{fetched}")
    differs, other = results["agent, what differs"], seconds["agent, other data"]
    assert differs is not None
    goals = {
        "time of what differs <= 0.35 of all": seconds["agent, what differs"] <= 0.35 * whole,
        "bytes fetched <= 1.1 of what changed": differs.fetched_bytes <= 1.1 * changed,
        "other data costs <= 5 % more than not looking": other <= 1.05 * whole,
    }
    for goal, met in goals.items():
        print(f"goal ({goal}): {'met' if met else 'MISSED'}")
    if options.json:
        document = {"seconds": seconds, "all": times, "fetched_bytes": differs.fetched_bytes, "goals": goals}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
