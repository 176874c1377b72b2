"""The verbs trace and why: what happened while a board booted, and what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.words import local_time
from hostler.client.client import Client

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hostler.cli.output import Output
    from hostler.client.documents import Trace


def _trace_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--boot", type=int, metavar="N", help="the boot of that number (default: the newest)")


def trace(args: argparse.Namespace, out: Output) -> int:
    """Print the timeline of a boot."""
    with Client() as client:
        found = client.trace(args.board, args.boot)
    if out.json:
        out.document(found)
        return 0
    for line in timeline(found):
        out.line(line)
    return 0


def timeline(trace: Trace) -> Iterator[str]:
    """Yield the lines of a boot's timeline: seconds since power-on, who saw it, what it was."""
    boot = trace["boot"]
    if boot is None:
        yield f"{trace['board']} has not booted yet"
        return
    yield f"{trace['board']}, boot {boot['number']} ({boot['purpose']}), {local_time(boot['started'])}"
    for event in trace["events"]:
        yield f"{event['since']:9.2f} s  {event['source']:<8}{event['kind']:<12}{event['text']}"
    others = [str(other["number"]) for other in trace["boots"] if other["number"] != boot["number"]]
    if others:
        yield f"other boots: {', '.join(others[:10])}{', …' if len(others) > 10 else ''} (--boot N)"


def why(args: argparse.Namespace, out: Output) -> int:
    """Print why a boot came no further."""
    with Client() as client:
        found = client.why(args.board, args.boot)
    if out.json:
        out.document(found)
        return 0
    boot = found["boot"]
    if boot is not None:
        out.line(
            f"{found['board']}, boot {boot['number']} ({boot['purpose']}), {local_time(boot['started'])}"
        )
    out.line(found["text"])
    if found["advice"]:
        out.line(found["advice"])
    for slow in found["slower"]:
        out.line(slow["text"])
    for event in found["evidence"]:
        out.line(f"{event['since']:9.2f} s  {event['source']:<8}{event['kind']:<12}{event['text']}")
    return 0


VERBS = {"trace": (_trace_arguments, trace), "why": (_trace_arguments, why)}
