"""What an idle `hostler serve` costs: seconds until it answers, resident memory of its whole process tree.

It serves a lab of 100 boards with fake supplies on a network of its own. Goal: 150 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL_MB = 150.0
BOARDS = 100
SETTLE_SECONDS = 8.0
START_SECONDS = 60.0
HOSTLER = Path(__file__).parent.parent / ".venv/bin/hostler"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="keep the numbers in this file")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    runs = [measure() for _ in range(args.repeat)]
    ready = statistics.median(run["ready_seconds"] for run in runs)
    memory = statistics.median(run["rss_mb"] for run in runs)
    print(f"hostler serve with {BOARDS} boards, idle (medians of {args.repeat})")
    print(f"  answers after    {ready:6.2f} s")
    print(f"  resident memory  {memory:6.1f} MB in {runs[0]['processes']} processes  (goal {GOAL_MB:g} MB)")
    if args.json:
        args.json.write_text(json.dumps({"ready_seconds": ready, "rss_mb": memory, "runs": runs}) + "\n")
    return 0 if memory <= GOAL_MB else 1


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as scratch:
        lab = Path(scratch, "lab.toml")
        lab.write_text(_inventory())
        # A namespace of its own: DHCP and TFTP ports are free there, and nobody is disturbed.
        serve = f"{HOSTLER} serve --config {lab} --state {scratch}/state --listen 127.0.0.1:8066"
        inside = f"ip link set lo up && exec {serve}"
        with Path(scratch, "log").open("w") as log:
            started = time.monotonic()
            process = subprocess.Popen(["unshare", "--net", "sh", "-c", inside], stdout=log, stderr=log)
            try:
                ready = _wait(Path(scratch, "log"), process) - started
                time.sleep(SETTLE_SECONDS)
                tree = _tree(process.pid)
                return {
                    "ready_seconds": ready,
                    "rss_mb": sum(_rss_kib(pid) for pid in tree) / 1024,
                    "processes": len(tree),
                }
            finally:
                process.terminate()
                process.wait(timeout=30)


def _inventory() -> str:
    boards = "".join(
        f'[boards.b{n}]\nclass = "pc"\nmac = "52:54:00:00:00:{n:02x}"\npower = {{ driver = "fake" }}\n'
        for n in range(BOARDS)
    )
    network = 'interface = "lo"\naddress = "127.0.0.1/8"\nrange = "127.1.0.1-127.1.3.255"\n'
    return f'[lab]\nname = "bench"\n[networks.boot]\n{network}[classes.pc]\nplatform = "x86-bios"\n{boards}'


def _wait(log: Path, process: subprocess.Popen[bytes]) -> float:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if "network boot serves" in log.read_text():
            return time.monotonic()
        if process.poll() is not None:
            sys.exit(f"footprint: the server ended:\n{log.read_text()}")
        time.sleep(0.02)
    sys.exit(f"footprint: the server was not ready within {START_SECONDS:g} s:\n{log.read_text()}")


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in _tree(int(child)))]


def _rss_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("footprint: run it as root: it needs a network namespace")
    sys.exit(main())
