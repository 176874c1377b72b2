"""The verbs trace and why: what happened while a board booted, and what that means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.words import local_time
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hostler.cli.output import Output
    from hostler.client.documents import Trace, Why


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--boot", type=int, metavar="N", help="the boot of that number (default: the newest)")


def _trace_arguments(parser: argparse.ArgumentParser) -> None:
    _arguments(parser)
    parser.add_argument(
        "--pcap",
        metavar="FILE",
        type=Path,
        help="write its packets there for Wireshark; - is standard output",
    )


def trace(args: argparse.Namespace, out: Output) -> int:
    """Print the timeline of a boot, or write its packets."""
    with Client() as client:
        if args.pcap is not None:
            return _write(client.packets(args.board, args.boot), args.pcap, out)
        found = client.trace(args.board, args.boot)
    if out.json:
        out.document(found)
        return 0
    for line in timeline(found):
        out.line(line)
    return 0


def _write(packets: bytes, file: Path, out: Output) -> int:
    if str(file) == "-":
        if out.json:
            raise ClientError("standard output cannot carry both JSON and packets; name a file for --pcap")
        sys.stdout.buffer.write(packets)
        return 0
    try:
        file.write_bytes(packets)
    except OSError as error:
        raise ClientError(f"{file} cannot be written: {error.strerror}") from None
    if out.json:
        out.document({"file": str(file), "bytes": len(packets)})
    else:
        out.note(f"{len(packets):,} bytes of packets are in {file}; read them with `wireshark {file}`")
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
    for line in verdict(found):
        out.line(line)
    return 0


def verdict(found: Why) -> Iterator[str]:
    """Yield the lines of a verdict: which boot, what it is, what to do, and what that rests on."""
    boot = found["boot"]
    if boot is not None:
        yield f"{found['board']}, boot {boot['number']} ({boot['purpose']}), {local_time(boot['started'])}"
    yield found["text"]
    if found["advice"]:
        yield found["advice"]
    for slow in found["slower"]:
        yield slow["text"]
    for event in found["evidence"]:
        yield f"{event['since']:9.2f} s  {event['source']:<8}{event['kind']:<12}{event['text']}"


VERBS = {"trace": (_trace_arguments, trace), "why": (_arguments, why)}
