"""Writing an image to a disk: the agent beside bmaptool and ``zstd | dd``, in one run.

    python benchmarks/image_write.py [--repeat 5] [--size-mib 2048] [--data-mib 500] [--json FILE] [--dir DIR]

All write the same sparse image to a new file on the same file system. The agent fetches chunks from an
aiohttp server on loopback and checks each one's SHA-256; bmaptool checks the sums of its block map; dd
checks nothing. The server's CPU time is counted to the agent. "+ verify" reads everything back past the page
cache, which the others do not do.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chunk_server import TOKEN, ChunkServer, chunk_server, no_stop, own_cpu_seconds
from hostler.agent.console import Console
from hostler.agent.install import WORKERS, install
from hostler.agent.media import Media
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.work import Work
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from sample_image import MIB, make_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.model.chunkindex import ChunkIndex


def peer(command: str) -> tuple[float, float]:
    """Run a shell pipeline; return wall and CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True, timeout=120)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def agent(
    index: ChunkIndex, target: Path, server: ChunkServer, workers: int, *, verify: bool
) -> tuple[float, float]:
    """Install as the agent does; return wall and CPU seconds, the server's included."""
    console = Console(sys.stderr)
    rack = Rack(BootConfig(f"http://127.0.0.1:{server.port}", TOKEN, "b", "b"), console, no_stop())
    cpu = own_cpu_seconds() + server.cpu_seconds()
    begun = time.perf_counter()
    with target.open("wb") as file:
        file.truncate(index.size)
    with Media(target, write=True) as media:
        assert media.direct, f"{target}: this file system has no direct I/O; give --dir another"
        install(index, media, rack, Work(console.say), workers=workers, verify=verify)
    return time.perf_counter() - begun, own_cpu_seconds() + server.cpu_seconds() - cpu


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--size-mib", type=int, default=2048)
    parser.add_argument("--data-mib", type=int, default=500)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--dir", type=Path, help="where to write; a file system with direct I/O")
    options = parser.parse_args()
    for tool in ("bmaptool", "zstd", "dd"):
        if shutil.which(tool) is None:
            print(f"image_write: {tool} is not installed", file=sys.stderr)
            return 1
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="image-write-") as place:
        return measure(Path(place), options)


def measure(place: Path, options: argparse.Namespace) -> int:
    image, packed, bmap, target = (place / name for name in ("image", "image.zst", "image.bmap", "disk"))
    make_image(image, options.size_mib * MIB, options.data_mib * MIB)
    subprocess.run(["zstd", "-q", "-3", str(image), "-o", str(packed)], check=True, timeout=120)
    subprocess.run(
        ["bmaptool", "create", "-o", str(bmap), str(image)], check=True, capture_output=True, timeout=120
    )
    store = ImageStore(place / "store")
    result = import_image(packed, store)
    index = store.index(result.index)
    with chunk_server(store.root) as server:
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "hostler agent": lambda: agent(index, target, server, options.workers, verify=False),
            "hostler agent + verify": lambda: agent(index, target, server, options.workers, verify=True),
            "bmaptool copy (zst)": lambda: peer(f"bmaptool copy --bmap {bmap} {packed} {target}"),
            "zstd -dc | dd direct": lambda: peer(
                f"zstd -dc {packed} | dd of={target} oflag=direct bs=4M iflag=fullblock"
            ),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.repeat):  # in turn, so that a noisy moment hits all
            for name, way in ways.items():
                target.unlink(missing_ok=True)
                subprocess.run(["sync", "-f", str(place)], check=True, timeout=120)
                times[name].append(way())
                if name != "hostler agent + verify" and len(times[name]) == 1:
                    subprocess.run(["cmp", str(image), str(target)], check=True, timeout=120)
    report(options, times, index)
    return 0


def report(
    options: argparse.Namespace, times: dict[str, list[tuple[float, float]]], index: ChunkIndex
) -> None:
    wall = {name: statistics.median(t[0] for t in taken) for name, taken in times.items()}
    cpu = {name: statistics.median(t[1] for t in taken) for name, taken in times.items()}
    mine = wall["hostler agent"]
    print(
        f"image of {index.size // MIB} MiB, {index.data_bytes // MIB} MiB in {len(index)} chunks of "
        f"{index.chunk_size >> 10} KiB; medians of {options.repeat}"
    )
    print(f"{'way':<26}{'seconds':>9}{'MB/s of image':>15}{'CPU s':>8}{'time / agent':>14}")
    for name in times:
        speed = index.size / wall[name] / 1e6
        print(f"{name:<26}{wall[name]:>9.2f}{speed:>15.0f}{cpu[name]:>8.2f}{wall[name] / mine:>14.2f}")
    goal = all(wall[name] >= mine for name in ("bmaptool copy (zst)", "zstd -dc | dd direct"))
    print(f"goal (agent not slower than either): {'met' if goal else 'MISSED'}")
    if options.json:
        numbers = {
            name: {"seconds": wall[name], "cpu_seconds": cpu[name], "all": times[name]} for name in times
        }
        options.json.write_text(json.dumps({"ways": numbers, "goal_met": goal}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
