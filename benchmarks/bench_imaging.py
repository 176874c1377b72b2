"""The tables of imaging, each way beside its peers in one run: writing, writing again, and to many (root).

    python benchmarks/bench_imaging.py [--quick] [--repeat 5] [--parts write reflash distribution loss slow]
                                       [--receivers 1 4 16 32] [--ways carousel http udpcast uftp ...]
                                       [--results benchmarks/results]

Runs image_write.py, reflash.py and distribution.py, and keeps their numbers as RESULTS/imaging.json and the
tables as RESULTS/imaging.md: a part that is run again takes the place of its old numbers, and of the parts
that send to many each way and number of receivers by itself. So all of it, more than half an hour, may be
measured in pieces. Every ratio is within one run, the ways taking turns, and the load is noted beside it.

    --add      of the parts that send to many: keep the old numbers beside the new ones
    --quick    one run with less data and few receivers, a few minutes: shows that all of it works.
               Keeps its tables in var/bench
    loss       one packet in a hundred is lost, at each receiver another
    slow       one receiver is ten times slower than the others; the seconds are those of the others
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
from functools import partial
from pathlib import Path
from typing import Any

from distribution import WAYS

HERE = Path(__file__).parent
MANY = {"distribution": (), "loss": ("--loss", "1"), "slow": ("--slow",)}
"""Parts that send to many, and how each is told so."""
GOALS = {"distribution": 1.15, "loss": 1.3, "slow": 1.15}
"""Of the time that HTTP takes for one receiver: what the carousel may take for all."""
PARTS = ("write", "reflash", *MANY)
_HTTP_MOST = 4  # with N receivers it takes N times as long
_PART_SECONDS = 3600


@dataclass
class Part:
    """What one benchmark gave.

    Attributes:
        numbers: What it wrote as JSON; of those to many what ``joined`` makes of it.
        load: One-minute load average before and after.
    """

    numbers: Any
    load: tuple[float, float]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--receivers", type=int, nargs="+")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    quick = options.quick
    options.repeat = options.repeat or (1 if quick else 5)
    options.receivers = options.receivers or ([1, 4] if quick else [1, 4, 16, 32])
    options.results = options.results or (Path("var/bench") if quick else HERE / "results")
    options.results.mkdir(parents=True, exist_ok=True)
    kept = options.results / "imaging.json"
    document: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in options.parts:
        before = document.get(name, {}).get("numbers")
        part = to_many(name, options, before) if name in MANY else ONE[name](options)
        document[name] = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} x {processor()}, Linux {platform.release()}",
            "repeat": options.repeat,
            "quick": quick,
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
    less = ("--size-mib", "128", "--data-mib", "64") if options.quick else ()
    return ran("image_write.py", "--repeat", str(options.repeat), *less)


def reflash(options: argparse.Namespace) -> Part:
    size = "64" if options.quick else "256"
    return ran("reflash.py", "--repeat", str(options.repeat), "--size-mib", size)


def to_many(name: str, options: argparse.Namespace, before: dict[str, Any] | None) -> Part:
    """Measure sending to many, and put it in the place of what was measured of the same before."""
    arguments = ["--receivers", *map(str, options.receivers), "--ways", *options.ways]
    arguments += ["--http-most", str(_HTTP_MOST), "--size-mib", "64" if options.quick else "128", *MANY[name]]
    runs = [ran("distribution.py", *arguments) for _ in range(options.repeat)]
    numbers = joined([run.numbers for run in runs], before, add=options.add)
    return Part(numbers, (runs[0].load[0], runs[-1].load[1]))


def joined(runs: list[dict[str, Any]], before: dict[str, Any] | None, *, add: bool) -> dict[str, Any]:
    """Return all runs as one: of each way and number of receivers what it took, one value for each run.

    Args:
        runs: What distribution.py wrote.
        before: What was kept of earlier runs.
        add: Whether that stays beside the new; otherwise the new takes its place.
    """
    numbers = {name: runs[0][name] for name in ("size_mib", "rate", "loss", "slow", "limit")}
    same = before is not None and all(before.get(name) == value for name, value in numbers.items())
    for name in ("seconds", "busy", "core_seconds_each"):
        table: dict[str, dict[str, list[float]]] = dict(before[name]) if same and before else {}
        for way, row in runs[0][name].items():
            old = table.setdefault(way, {})
            for n in row:
                old[n] = [*(old.get(n, []) if add else []), *(run[name][way][n] for run in runs)]
        numbers[name] = table
    return numbers


ONE = {"write": write, "reflash": reflash}


def page(document: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    lines = ["# Imaging", "", "Written by `make bench-imaging`. Seconds are medians; less is better."]
    for name in PARTS:
        if name in document:
            told = document[name]
            runs = "" if name in MANY else f", {told['repeat']} runs"
            lines += ["", f"## {name.capitalize()}", ""]
            lines += TABLE[name](told["numbers"])
            lines += ["", f"{told['date']}, {told['machine']}{runs}, load "
                      f"{told['load'][0]} before and {told['load'][1]} after."]  # fmt: skip
            if told.get("quick"):
                lines.append("Too little data to judge by: a quick run shows only that all of it works.")
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


def many_table(name: str, numbers: dict[str, Any]) -> list[str]:
    seconds, busy = numbers["seconds"], numbers["busy"]
    counts = sorted({int(count) for row in seconds.values() for count in row})
    one = seconds.get("http", {}).get("1")
    base = statistics.median(one) if one else None
    what = f"{numbers['size_mib']} MiB at {numbers['rate']} Mbit/s"
    lines = [
        f"Seconds until the last of N has {what}, how many times that is what HTTP takes for one, and how "
        "busy the machine was that they all share.",
        "",
        f"| way | {' | '.join(f'N = {count}' for count in counts)} |",
        f"|---|{'--:|' * len(counts)}",
    ]
    for way, row in seconds.items():
        told = [many_cell(row.get(str(count)), busy[way].get(str(count)), base) for count in counts]
        lines.append(f"| {cell(way)} | {' | '.join(told)} |")
    limit = f"{numbers['limit']:.2f}"
    lines.append(f"| limit of the link | {' | '.join(limit for _ in counts)} |")
    runs = [f"{way} {min(map(len, row.values()))}" for way, row in seconds.items()]
    notes = [f"runs: {', '.join(runs)}"]
    carousel = seconds.get("carousel", {})
    if base and carousel:
        most = max(carousel, key=int)
        ratio, goal = statistics.median(carousel[most]) / base, GOALS[name]
        met = "met" if ratio <= goal else "missed"
        notes.append(f"goal (carousel N = {most} takes at most {goal} x HTTP N = 1): {ratio:.2f}, {met}")
    each = numbers["core_seconds_each"].get("carousel", {})
    notes += [
        f"a receiver of the carousel took {statistics.median(values):.2f} s of a core at N = {count}"
        for count, values in each.items()
    ]
    return [*lines, "", *(f"- {note}" for note in notes)]


def many_cell(seconds: list[float] | None, busy: list[float] | None, base: float | None) -> str:
    """Return medians as they stand in a table."""
    if not seconds:
        return "–"
    took = statistics.median(seconds)
    ratio = f" ({took / base:.2f})" if base else ""
    return f"{took:.2f}{ratio}" + (f", {statistics.median(busy):.0%}" if busy else "")


TABLE = {"write": write_table, "reflash": reflash_table, **{name: partial(many_table, name) for name in MANY}}


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
