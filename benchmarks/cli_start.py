"""How long the command line takes to start, and how much memory an idle server holds.

``hostler --help`` is measured beside bare Python and beside the command lines that Debian's users know; the
server's memory is that of its whole process tree, proportional (PSS), read while it idles.

    python benchmarks/cli_start.py [--runs N] [--json FILE] [--server PID]
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL_SECONDS = 0.2
GOAL_BYTES = 150_000_000
REST_SECONDS = 10.0

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


def tree_bytes(pid: int) -> int:
    """Return the proportional set size of a process and all its descendants."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            total += int(line.split()[1]) * 1024
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            total += tree_bytes(int(child))
    return total


def idle_server_bytes() -> int:
    """Start a server without a lab, let it rest, and return what it holds."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as state:
        server = subprocess.Popen(
            [HOSTLER, "serve", "--state", state, "--listen", listen],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(REST_SECONDS)
            if server.poll() is not None:
                raise RuntimeError(f"hostler serve ended with {server.returncode}")
            return tree_bytes(server.pid)
        finally:
            server.terminate()
            server.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--server", type=int, metavar="PID", help="measure this server, not a new one")
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
    result: dict[str, object] = {"seconds": seconds, "goal_seconds": GOAL_SECONDS}
    held = tree_bytes(args.server) if args.server else idle_server_bytes()
    good = good and held <= GOAL_BYTES
    print(f"goal: hostler serve, idle <= {GOAL_BYTES / 1e6:.0f} MB: {held / 1e6:.0f} MB")
    result |= {"server_bytes": held, "goal_bytes": GOAL_BYTES}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
