"""One installation as the agent does it, in a process of its own, so that its memory is its own.

python benchmarks/image_agent.py URL INDEX TARGET [--no-verify] [--workers N]   prints what it took, as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

from chunk_server import TOKEN, own_cpu_seconds
from hostler.agent.console import Console
from hostler.agent.install import WORKERS, install
from hostler.agent.media import Media
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.work import Work
from hostler.model.chunkindex import ChunkIndex


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("index", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--no-verify", action="store_true")
    parser.add_argument("--workers", type=int, default=WORKERS)
    options = parser.parse_args()
    index = ChunkIndex.decode(options.index.read_bytes())
    console = Console(sys.stderr)
    rack = Rack(BootConfig(options.url, TOKEN, "b", "b"), console, threading.Event())
    cpu, begun = own_cpu_seconds(), time.perf_counter()
    with Media(options.target, write=True) as media:
        if not media.direct:
            sys.exit(f"{options.target}: this file system has no direct I/O; give --dir another")
        result = install(
            index, media, rack, Work(console.say), workers=options.workers, verify=not options.no_verify
        )
    took = {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": own_cpu_seconds() - cpu,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(took | result.to_json() | {"seconds": took["seconds"]}))
    return 0


def peak_mib() -> float:
    """Return the most memory this program has had; getrusage counts who started it as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmHWM")


if __name__ == "__main__":
    sys.exit(main())
