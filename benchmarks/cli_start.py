"""How long the command line takes to start, beside bare Python and other command lines.

python benchmarks/cli_start.py [--runs N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

GOAL_SECONDS = 0.2

HOSTLER = str(Path(sys.executable).parent / "hostler")
COMMANDS: dict[str, list[str]] = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "hostler --help": [HOSTLER, "--help"],
    "hostler boards --help": [HOSTLER, "boards", "--help"],
    "hostler version --json": [HOSTLER, "version", "--json"],
    "pip --version": [sys.executable, "-m", "pip", "--version"],
    "apt-get --version": ["apt-get", "--version"],
    "git --version": ["git", "--version"],
}


def start_seconds(command: list[str], runs: int) -> float:
    """Return the median wall time of a command, caches warm."""
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    seconds = {
        name: start_seconds(command, args.runs)
        for name, command in COMMANDS.items()
        if shutil.which(command[0])
    }
    bare = seconds["python -c pass"]
    print(f"{'command':<24}{'ms':>8}{'x bare python':>16}")
    for name, value in seconds.items():
        print(f"{name:<24}{value * 1000:>8.0f}{value / bare:>16.1f}")
    good = seconds["hostler --help"] <= GOAL_SECONDS
    print(f"goal: hostler --help <= {GOAL_SECONDS * 1000:.0f} ms: {'held' if good else 'MISSED'}")
    result = {"seconds": seconds, "goal_seconds": GOAL_SECONDS}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
