"""The verb capture: a board's disk becomes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostler.cli.waits import run_status, wait_arguments, watch_run
from hostler.cli.words import size_text
from hostler.client.client import Client

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output


def _capture_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--as", metavar="NAME", dest="name", required=True, help="the image's name")
    parser.add_argument("--disk", metavar="HINT", help="which disk, such as bus=nvme,smallest")
    parser.add_argument(
        "--clean",
        metavar="WORD[,WORD…]",
        default="default",
        help="what is taken out of the image: default, none, machine-id, ssh-host-keys, random-seed, "
        "cloud-init, dhcp-leases, net-rules, seed, history, logs, or paths",
    )
    parser.add_argument("--shrink", action="store_true", help="make the image as small as can be")
    wait_arguments(parser)


def capture(args: argparse.Namespace, out: Output) -> int:
    """Make an image of a board's disk and wait until it is there."""
    with Client() as client:
        words = [word.strip() for word in args.clean.split(",") if word.strip()]
        run = client.capture(args.board, args.name, disk=args.disk, clean=words, shrink=args.shrink)
        if args.no_wait:
            if out.json:
                out.document(run)
            out.line(f"run {run['id']} is {run['state']}; look with `hostler show {run['board']}`")
            return 0
        ended = watch_run(client, out, run, args.timeout)
    if out.json:
        out.document(ended)
    if ended["results"] and not out.json:
        _tell(args.name, ended["results"][0], out)
    return run_status(out, ended)


def _tell(name: str, result: dict[str, Any], out: Output) -> None:
    """Say what was captured, what of it travelled, and what was taken out."""
    out.line(
        f"image {name}: {size_text(result['size'])}, {size_text(result['data_bytes'])} of it data; "
        f"{result['sent_chunks']} of {result['chunks']} chunks travelled, {size_text(result['sent_bytes'])}"
    )
    for part in result["partitions"]:
        where = f"partition {part['number']}" if part["number"] else "the disk"
        note = f": {part['note']}" if part["note"] else ""
        out.line(
            f"  {where}: {part['content']}, {size_text(part['used'])} of {size_text(part['size'])}{note}"
        )
    out.line(f"  taken out: {', '.join(result['cleaned']) or 'nothing'}")
    if result["shrunk_from"]:
        why = f": {result['shrink_note']}" if result["shrink_note"] else ""
        out.line(f"  shrunk from {size_text(result['shrunk_from'])}{why}")


VERBS = {"capture": (_capture_arguments, capture)}
