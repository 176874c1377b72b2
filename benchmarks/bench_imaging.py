"""The tables of imaging, each way beside its peers in one run: writing, writing again, and to many (root).

    python benchmarks/bench_imaging.py [--repeat 5] [--receivers 1 4 16 32] [--results benchmarks/results]
                                       [--parts write reflash distribution]

Runs image_write.py, reflash.py and distribution.py, and keeps their numbers as RESULTS/imaging.json and the
tables as RESULTS/imaging.md. Other work on the machine is not waited for: every ratio is within one run, the
ways taking turns, and the load is noted beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PARTS = ("write", "reflash", "distribution")
_PART_SECONDS = 3600


@dataclass
class Part:
    """What one benchmark gave.

    Attributes:
        numbers: What it wrote as JSON; of ``distribution`` one for each repeat.
        load: One-minute load average before and after.
    """

    numbers: Any
    load: tuple[float, float]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--receivers", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    kept = options.results / "imaging.json"
    document: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in options.parts:
        part = PART[name](options)
        document[name] = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} x {processor()}, Linux {platform.release()}",
            "repeat": options.repeat,
            "load": [round(load, 1) for load in part.load],
            "numbers": part.numbers,
        }
        # After each part: a run takes long, and may be broken off.
        kept.write_text(json.dumps(document, indent=1) + "\n")
        (options.results / "imaging.md").write_text(page(document))
    print((options.results / "imaging.md").read_text())
    return 0


def ran(script: str, *arguments: str) -> Part:
    """Run one benchmark; its tables go to standard output as they come."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "numbers.json"
        before = os.getloadavg()[0]
        command = [sys.executable, str(HERE / script), "--json", str(file), *arguments]
        subprocess.run(command, check=True, timeout=_PART_SECONDS)
        return Part(json.loads(file.read_text()), (before, os.getloadavg()[0]))


def write(options: argparse.Namespace) -> Part:
    return ran("image_write.py", "--repeat", str(options.repeat))


def reflash(options: argparse.Namespace) -> Part:
    return ran("reflash.py", "--repeat", str(options.repeat), "--size-mib", "256")


def distribution(options: argparse.Namespace) -> Part:
    receivers = [str(count) for count in options.receivers]
    runs = [ran("distribution.py", "--receivers", *receivers) for _ in range(options.repeat)]
    ways = runs[0].numbers["seconds"]
    seconds = {
        way: {n: statistics.median(run.numbers["seconds"][way][n] for run in runs) for n in row}
        for way, row in ways.items()
    }
    numbers = {"seconds": seconds, "limit": runs[0].numbers["limit"], "all": [run.numbers for run in runs]}
    return Part(numbers, (runs[0].load[0], runs[-1].load[1]))


PART = {"write": write, "reflash": reflash, "distribution": distribution}


def page(document: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    lines = ["# Imaging", "", "Written by `make bench-imaging`. Seconds are medians; less is better."]
    for name in PARTS:
        if name in document:
            told = document[name]
            lines += ["", f"## {name.capitalize()}", ""]
            lines += TABLE[name](told["numbers"])
            lines += ["", f"{told['date']}, {told['machine']}, {told['repeat']} runs, load "
                      f"{told['load'][0]} before and {told['load'][1]} after."]  # fmt: skip
    return "\n".join(lines) + "\n"


def write_table(numbers: dict[str, Any]) -> list[str]:
    lines = [
        "| condition | way | seconds | MB/s of data | CPU s | ratio to the agent |",
        "|---|---|--:|--:|--:|--:|",
    ]
    notes = []
    for condition, told in numbers.items():
        base = next(iter(told["seconds"].values()))
        for way, seconds in told["seconds"].items():
            speed = told["data_mib"] * 1.048576 / seconds
            cpu = told["cpu_seconds"][way]
            numbers_of = f"{seconds:.2f} | {speed:.0f} | {cpu:.2f} | {seconds / base:.2f}"
            lines.append(f"| {condition} | {cell(way)} | {numbers_of} |")
        if told["limit_seconds"]:
            share = told["limit_seconds"] / base
            notes.append(f"{condition}: the agent reaches {share:.2f} of the limit.")
        notes.append(f"{condition}: {told['size_mib']} MiB image; the agent's memory peaked at "
                     f"{told['peak_mib']:.0f} MiB.")  # fmt: skip
        notes += goals(condition, told["goals"])
    return [*lines, "", *(f"- {note}" for note in notes)]


def reflash_table(numbers: dict[str, Any]) -> list[str]:
    whole = numbers["seconds"]["agent, all of it"]
    lines = ["| way | seconds | ratio to all of it |", "|---|--:|--:|"]
    lines += [
        f"| {cell(way)} | {seconds:.2f} | {seconds / whole:.2f} |"
        for way, seconds in numbers["seconds"].items()
    ]
    fetched = f"{numbers['fetched_bytes'] / 1e6:.1f} MB were fetched for what differs."
    return [*lines, "", *(f"- {note}" for note in (fetched, *goals("", numbers["goals"])))]


def distribution_table(numbers: dict[str, Any]) -> list[str]:
    counts = list(numbers["seconds"]["carousel"])  # others are not measured where they take too long
    lines = [f"| way | {' | '.join(f'N = {count}' for count in counts)} |", f"|---|{'--:|' * len(counts)}"]
    for way, row in numbers["seconds"].items():
        told = [f"{row[count]:.2f}" if count in row else "–" for count in counts]
        lines.append(f"| {cell(way)} | {' | '.join(told)} |")
    limit = f"{numbers['limit']:.2f}"
    lines.append(f"| limit of the link | {' | '.join(limit for _ in counts)} |")
    one, most = numbers["seconds"].get("http", {}).get("1"), max(counts, key=int)
    if one is None:
        return lines
    ratio = numbers["seconds"]["carousel"][most] / one
    return [*lines, "", f"- carousel N = {most} takes {ratio:.2f} x HTTP N = 1 (goal for 32: 1.15)"]


TABLE = {"write": write_table, "reflash": reflash_table, "distribution": distribution_table}


def cell(way: str) -> str:
    """Return a way's name as it stands in a table."""
    return way.replace("|", "\\|")


def goals(condition: str, met: dict[str, bool]) -> list[str]:
    where = f"{condition}: " if condition else ""
    return [f"{where}goal ({goal}): {'met' if is_met else 'missed'}" for goal, is_met in met.items()]


def processor() -> str:
    """Return what the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
