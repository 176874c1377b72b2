"""Which chunk size: import, store, second version and writing over HTTP, from 256 KiB to 8 MiB.

    python benchmarks/chunk_size.py [--repeat 3] [--size-mib 1024] [--data-mib 300] [--json FILE] [--dir DIR]

The image is made of this machine's files with holes between them; the second version has 2 % of its pieces
replaced, as an upgrade of some packages does. "written" counts whole chunks, so it shows what a coarse grid
drags along; "new in 2nd" is what the second version adds to the store, and what a re-flash would send.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from chunk_server import TOKEN, ChunkServer, chunk_server, no_stop, own_cpu_seconds
from hostler.agent.console import Console
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.work import Work
from hostler.images.importer import CHUNK_SIZE, import_image
from hostler.images.store import ImageStore
from sample_image import MIB, make_image, next_version

KIB = 1024
SIZES = [256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB]


def write_once(store: ImageStore, index_id: str, target: Path, server: ChunkServer) -> tuple[float, float]:
    """Install without verifying; return wall and CPU seconds, the server's included."""
    index = store.index(index_id)
    console = Console(sys.stderr)
    rack = Rack(BootConfig(f"http://127.0.0.1:{server.port}", TOKEN, "b", "b"), console, no_stop())
    with target.open("wb") as file:
        file.truncate(index.size)
    cpu = own_cpu_seconds() + server.cpu_seconds()
    begun = time.perf_counter()
    with Media(target, write=True) as media:
        install(index, media, rack, Work(console.say), verify=False)
    return time.perf_counter() - begun, own_cpu_seconds() + server.cpu_seconds() - cpu


def measure(place: Path, chunk_size: int, repeat: int) -> dict[str, float]:
    """Return one row of the table."""
    store = ImageStore(place / f"store-{chunk_size}")
    cpu = own_cpu_seconds()
    begun = time.perf_counter()
    first = import_image(place / "old", store, chunk_size=chunk_size)
    import_seconds = time.perf_counter() - begun
    import_cpu = own_cpu_seconds() - cpu
    second = import_image(place / "new", store, chunk_size=chunk_size)
    with chunk_server(store.root) as server:
        runs = [write_once(store, first.index, place / "disk", server) for _ in range(repeat)]
    return {
        "chunk_size": chunk_size,
        "import_seconds": import_seconds,
        "import_cpu_seconds": import_cpu,
        "stored_bytes": first.stored_bytes,
        "second_bytes": second.stored_bytes,
        "data_bytes": first.data_bytes,
        "requests": len(store.index(first.index)),
        "write_seconds": statistics.median(run[0] for run in runs),
        "cpu_seconds": statistics.median(run[1] for run in runs),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--data-mib", type=int, default=300)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--dir", type=Path, help="where to write; a file system with direct I/O")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="chunk-size-") as name:
        place = Path(name)
        make_image(place / "old", options.size_mib * MIB, options.data_mib * MIB)
        next_version(place / "old", place / "new", 0.02)
        mapped = (place / "old").stat().st_blocks * 512
        print(f"image of {options.size_mib} MiB, {mapped / MIB:.0f} MiB mapped; MiB and seconds")
        print("chunk KiB   import (CPU)   stored   new in 2nd   written   requests   write (CPU)")
        rows = []
        for size in SIZES:
            row = measure(place, size, options.repeat)
            rows.append(row)
            print(
                f"{size // KIB:>9}{'*' if size == CHUNK_SIZE else ' '}"
                f"{row['import_seconds']:>7.2f}{row['import_cpu_seconds']:>7.2f}"
                f"{row['stored_bytes'] / MIB:>10.1f}{row['second_bytes'] / MIB:>13.1f}"
                f"{row['data_bytes'] / MIB:>10.1f}{row['requests']:>11}"
                f"{row['write_seconds']:>8.2f}{row['cpu_seconds']:>6.2f}",
                flush=True,
            )
        print("* in use")
    if options.json:
        options.json.write_text(json.dumps({"mapped_bytes": mapped, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
