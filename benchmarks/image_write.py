"""Writing an image to a disk: the agent beside bmaptool and ``zstd | dd``, in one run (root).

    python benchmarks/image_write.py [--repeat 5] [--size-mib 512] [--data-mib 200] [--json FILE] [--dir DIR]
                                     [--conditions fast disk link memory]

    fast     a new file; nothing limits but the processors
    disk     a loop device that writes 60 MB/s, which limits direct writes alone: not bmaptool's
    link     what is fetched comes over 200 Mbit/s (tbf)
    memory   a new file; an image of eight times the size with the same data, which takes no more memory

The agent fetches chunks from an aiohttp server and checks each one's SHA-256; bmaptool checks the sums of its
block map; dd checks nothing. Over the link the peers fetch the packed image by HTTP; otherwise they read a
local file, while the agent's way still leads over HTTP, and its server's CPU time is counted to it.
"+ verify" reads everything back past the page cache, which the others do not do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chunk_server import ChunkServer, chunk_server
from distribution_site import Site
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.chunkindex import ChunkIndex
from sample_image import MIB, make_image, next_version
from slow_disk import fill, slow_disk

if TYPE_CHECKING:
    from collections.abc import Callable

AGENT = Path(__file__).with_name("image_agent.py")
CONDITIONS = ("fast", "disk", "link", "memory")
MINE, PROVEN = "hostler agent", "hostler agent + verify"
BMAPTOOL = "bmaptool copy (zst)"
DISK_BPS = 60_000_000
LINK_MBIT = 200
ON_THE_WIRE = 1448 / 1538
"""Share of a link's bits that TCP with timestamps has for its data, in Ethernet frames of 1,500 bytes."""
SECONDS = 600


@dataclass
class Took:
    """Of one installation; ``peak_mib`` and ``fetched_bytes`` of the agent alone."""

    seconds: float
    cpu_seconds: float
    peak_mib: float = 0.0
    fetched_bytes: int = 0


@dataclass
class Bench:
    """One image under one condition."""

    place: Path
    index: ChunkIndex
    target: Path
    server: ChunkServer
    host: str = "127.0.0.1"
    entering: Sequence[str] = ()
    workers: int = 4

    def agent(self, *, verify: bool) -> Took:
        """Install as the agent does; its CPU seconds include the server's."""
        before = self.server.cpu_seconds()
        options = ["--workers", str(self.workers), *(() if verify else ("--no-verify",))]
        command = [*self.entering, sys.executable, str(AGENT), f"http://{self.host}:{self.server.port}"]
        done = subprocess.run(
            [*command, str(self.place / "index"), str(self.target), *options],
            check=True, stdout=subprocess.PIPE, timeout=SECONDS,
        )  # fmt: skip
        said = json.loads(done.stdout)
        cpu = said["cpu_seconds"] + self.server.cpu_seconds() - before
        return Took(said["seconds"], cpu, said["peak_mib"], said["fetched_bytes"])

    def peer(self, command: str) -> Took:
        """Run a shell pipeline."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        subprocess.run(
            [*self.entering, "bash", "-o", "pipefail", "-c", command],
            check=True, capture_output=True, timeout=SECONDS,
        )  # fmt: skip
        wall = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    def ways(self) -> dict[str, Callable[[], Took]]:
        """Return what is measured."""
        packed, bmap = self.place / "image.zst", self.place / "image.bmap"
        feed = f"zstd -dc {packed}"
        copy = f"bmaptool copy --bmap {bmap} {packed} {self.target}"
        if self.entering:
            url = f"http://{self.host}:{self.server.port}/files/image.zst"
            feed, copy = f"curl -sf {url} | zstd -dc", f"bmaptool copy --bmap {bmap} {url} {self.target}"
        return {
            MINE: lambda: self.agent(verify=False),
            PROVEN: lambda: self.agent(verify=True),
            BMAPTOOL: lambda: self.peer(copy),
            "zstd -dc | dd direct": lambda: self.peer(
                f"{feed} | dd of={self.target} oflag=direct bs=4M iflag=fullblock conv=fsync"
            ),
        }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--size-mib", type=int, default=512)
    parser.add_argument("--data-mib", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--json", type=Path)
    # In memory nobody else's disk I/O is in the way; Linux has direct I/O there from 6.6 on.
    parser.add_argument(
        "--dir", type=Path, default=Path("/dev/shm"), help="where to write; a file system with direct I/O"
    )
    options = parser.parse_args()
    for tool in ("bmaptool", "zstd", "dd", "curl"):
        if shutil.which(tool) is None:
            print(f"image_write: {tool} is not installed", file=sys.stderr)
            return 1
    document = {}
    for condition in options.conditions:
        with (
            tempfile.TemporaryDirectory(dir=options.dir, prefix="image-write-") as place,
            ExitStack() as stack,
        ):
            document[condition] = measure(condition, Path(place), options, stack)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def measure(condition: str, place: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, object]:
    """Measure all ways under one condition; prints a table and returns its numbers."""
    less = 2 if condition == "link" else 1  # it takes long
    size = options.size_mib * MIB // less * (8 if condition == "memory" else 1)
    bench = prepare(condition, place, size, options.data_mib * MIB // less, stack)
    bench.workers = options.workers
    ways = bench.ways()
    if condition == "memory":  # of the peers neither keeps more than a few blocks
        ways = {PROVEN: ways[PROVEN]}
    if condition == "disk":
        # It writes through the page cache, where the kernel's limit does not reach: faster than the disk.
        del ways[BMAPTOOL]
    times: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(options.repeat):  # in turn, so that a noisy moment hits all
        for name, way in ways.items():
            if condition == "disk":
                fill(bench.target, place / "dirt")
            else:
                bench.target.unlink(missing_ok=True)
                with bench.target.open("wb") as file:
                    file.truncate(size)
            subprocess.run(["sync", "-f", str(place)], check=True, timeout=SECONDS)
            times[name].append(way())
            if len(times[name]) == 1:
                compare = ["cmp", "-n", str(bench.index.size), str(place / "image"), str(bench.target)]
                subprocess.run(compare, check=True, timeout=SECONDS)
    return report(condition, options, times, bench)


def prepare(condition: str, place: Path, size: int, data: int, stack: ExitStack) -> Bench:
    """Make the image in all its forms, the disk and the way to it."""
    image, packed, bmap = (place / name for name in ("image", "image.zst", "image.bmap"))
    if condition == "disk":
        # Without holes: the kernel's limit counts zeroing as writing, which it is not on a disk.
        make_image(image, data + 32 * MIB, data)
        os.truncate(image, size := data)
    else:
        make_image(image, size, data)
    subprocess.run(["zstd", "-q", "-3", str(image), "-o", str(packed)], check=True, timeout=SECONDS)
    subprocess.run(
        ["bmaptool", "create", "-o", str(bmap), str(image)], check=True, capture_output=True, timeout=SECONDS
    )
    store = ImageStore(place / "store")
    index = store.index(import_image(packed, store).index)
    (place / "index").write_bytes(index.encode())
    target = place / "disk"
    if condition == "disk":
        # Other data, in the same places: bmaptool leaves holes as they are.
        next_version(image, place / "dirt", 1.0)
        target = stack.enter_context(slow_disk(target, size + 16 * MIB, 4 * DISK_BPS, DISK_BPS))
    if condition != "link":
        return Bench(place, index, target, stack.enter_context(chunk_server(store.root)))
    site = stack.enter_context(Site(1, LINK_MBIT, 0.0, slow=False))
    host = "10.99.0.1"
    server = stack.enter_context(chunk_server(store.root, host, site.argv(site.server)))
    return Bench(place, index, target, server, host, site.argv(site.receivers[0]))


def report(
    condition: str, options: argparse.Namespace, times: dict[str, list[Took]], bench: Bench
) -> dict[str, object]:
    """Print one condition's table; returns its numbers."""
    index = bench.index
    wall = {name: statistics.median(one.seconds for one in taken) for name, taken in times.items()}
    cpu = {name: statistics.median(one.cpu_seconds for one in taken) for name, taken in times.items()}
    peak = max(one.peak_mib for taken in times.values() for one in taken)
    base = wall.get(MINE, wall[PROVEN])
    print(
        f"\n{condition}: image of {index.size // MIB} MiB, {index.data_bytes // MIB} MiB of it data; "
        f"medians of {options.repeat}; agent's peak {peak:.0f} MiB"
    )
    print(f"{'way':<26}{'seconds':>9}{'MB/s of data':>14}{'CPU s':>8}{'time / agent':>14}")
    for name in times:
        speed = index.data_bytes / wall[name] / 1e6
        print(f"{name:<26}{wall[name]:>9.2f}{speed:>14.0f}{cpu[name]:>8.2f}{wall[name] / base:>14.2f}")
    goals = {}
    if MINE in times:
        goals["not slower than either peer"] = all(base <= taken for taken in wall.values())
    fetched = max(one.fetched_bytes for taken in times.values() for one in taken)
    limits = {
        "disk": index.data_bytes / DISK_BPS,
        "link": fetched * 8 / (LINK_MBIT * 1e6 * ON_THE_WIRE),
    }
    limit = limits.get(condition)
    if limit is not None:
        print(f"{'limit':<26}{limit:>9.2f}")
        goals[f">= 0.95 of the {condition}"] = limit >= 0.95 * base
    for goal, met in goals.items():
        print(f"goal ({goal}): {'met' if met else 'MISSED'}")
    return {
        "size_mib": index.size // MIB,
        "data_mib": index.data_bytes // MIB,
        "seconds": wall,
        "cpu_seconds": cpu,
        "peak_mib": peak,
        "limit_seconds": limit,
        "goals": goals,
        "all": {name: [asdict(one) for one in taken] for name, taken in times.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
