"""The demo: build, start, do the main job on three boards at once, tell how it went."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.progress import progress
from hostler.cli.trace import timeline
from hostler.client.console import readable
from hostler.client.errors import ClientError
from hostler.demo import material
from hostler.demo.job import JOB_SECONDS, Job, Outcome
from hostler.demo.lab import DemoLab

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from hostler.cli.progress import Progress

BOARDS = (
    ("vx-bios", "pc-bios", "debian"),
    ("vx-uefi", "pc-uefi", "debian"),
    ("va-uboot", "arm64-virt", "tiny-arm64"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns 0 only if every step held on every board."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--exit", action="store_true", help="stop the server at the end, as without a terminal"
    )
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on the last line")
    parser.add_argument(
        "--state", type=Path, default=Path("var/demo"), help="where the lab and the server live"
    )
    parser.add_argument("--cache", type=Path, default=Path("var/cache"), help="where what is built is kept")
    args = parser.parse_args(argv)
    args.exit = args.exit or not sys.stdin.isatty()  # where nobody can press Ctrl-C
    signal.signal(signal.SIGTERM, _interrupt)
    begun = time.monotonic()
    outcomes: list[Outcome] = []
    error = ""
    try:
        _demo(args, outcomes, begun)
    except ClientError as trouble:
        error = str(trouble)
        print(f"demo: {error}" + (f"\n  {trouble.advice}" if trouble.advice else ""), file=sys.stderr)
    except KeyboardInterrupt:
        error = "interrupted"
        print("demo: interrupted", file=sys.stderr)
    ok = not error and len(outcomes) == len(BOARDS) and not any(outcome.error for outcome in outcomes)
    if args.json and (error or args.exit):
        _print_summary(ok, begun, outcomes, error)
    return 0 if ok else 1


def _demo(args: argparse.Namespace, outcomes: list[Outcome], begun: float) -> None:
    live = sys.stdout.isatty() and not args.json
    state, cache = args.state.resolve(), args.cache.resolve()
    _say("building the agent and the images (from the cache if they are there)")
    with progress(live=live) as view:
        built = material.build(cache, view)
    _say("starting the virtual lab and the server")
    with DemoLab(state) as lab:
        _say(f"the server answers at {lab.client.settings.url}; its log is {state / 'log/server.log'}")
        with progress(live=live) as view:
            material.register(lab.client, built, view)
        _say("claim, deploy, log in, release: three boards at once")
        with progress(live=live) as view:
            outcomes += _jobs(lab, view)
        _report(outcomes, time.monotonic() - begun)
        if args.exit:
            return
        if args.json:
            ok = not any(outcome.error for outcome in outcomes)
            _print_summary(ok, begun, outcomes, "")
        _say(f"the server goes on until Ctrl-C. In another shell: . {lab.env_file}; .venv/bin/hostler boards")
        try:
            while True:
                time.sleep(1)
                lab.check_alive()
        except KeyboardInterrupt:
            _say("stopping")


def _jobs(lab: DemoLab, view: Progress) -> list[Outcome]:
    """Do the job on every board at the same time."""
    jobs = [Job(lab.client, view, Outcome(*board)) for board in BOARDS]
    threads = [threading.Thread(target=job.run, name=job.outcome.board, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    end = time.monotonic() + JOB_SECONDS
    for thread, job in zip(threads, jobs, strict=True):
        while thread.is_alive():
            thread.join(1)
            lab.check_alive()
            if time.monotonic() > end:
                job.outcome.error = job.outcome.error or f"not done within {JOB_SECONDS:.0f} s"
                break
    return [job.outcome for job in jobs]


def _report(outcomes: list[Outcome], seconds: float) -> None:
    for outcome in outcomes:
        print()
        for trace in outcome.traces:
            for line in timeline(trace):
                if not line.startswith("other boots:"):
                    print(line)
        if outcome.output:
            print(f"{outcome.board}, on its console:")
            print("".join(f"  > {line}\n" for line in outcome.output.strip().splitlines()), end="")
        if outcome.error:
            print(f"{outcome.board} FAILED: {outcome.error}")
            print("last of its console:")
            print("".join(f"  | {line}\n" for line in readable(outcome.console).splitlines()[-40:]), end="")
    print()
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.steps))
    print(f"{'board':<10}{'image':<12}" + "".join(f"{name:>10}" for name in names) + f"{'total':>10}")
    for outcome in outcomes:
        cells = [f"{outcome.steps[name]:8.1f} s" if name in outcome.steps else "-" for name in names]
        total = "FAILED" if outcome.error else f"{outcome.seconds:8.1f} s"
        row = "".join(f"{cell:>10}" for cell in [*cells, total])
        print(f"{outcome.board:<10}{outcome.image:<12}{row}")
    good = sum(not outcome.error for outcome in outcomes)
    print(f"\n{good} of {len(outcomes)} boards went the whole way; {seconds:.0f} s in all", flush=True)


def _print_summary(ok: bool, begun: float, outcomes: list[Outcome], error: str) -> None:
    summary = {
        "ok": ok,
        "seconds": round(time.monotonic() - begun, 3),
        "error": error,
        "boards": [outcome.to_json() for outcome in outcomes],
    }
    print(json.dumps(summary), flush=True)


def _say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
