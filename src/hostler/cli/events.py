"""The verb events: the server's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.words import local_time
from hostler.client.client import Client
from hostler.client.errors import UnreachableError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Event


def _events_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C, one JSON document a line")
    parser.add_argument("--board", metavar="BOARD", help="only what is about this board")
    parser.add_argument("--kind", metavar="PATTERN", help="only kinds that fit, such as 'claim.*'")
    parser.add_argument("--since", metavar="TIME", help="only since then: 10m, 1d, 2030-01-31T18:00:00Z")
    parser.add_argument("--principal", metavar="USER", help="only what they caused")
    parser.add_argument("--audit", action="store_true", help="only what somebody caused")
    parser.add_argument(
        "--after", type=int, metavar="N", help="begin after entry N (default: all, with --follow only news)"
    )


def events(args: argparse.Namespace, out: Output) -> int:
    """Print history, and with ``--follow`` go on as it happens."""
    wanted = {
        "kind": args.kind, "since": args.since, "principal": args.principal, "audit": args.audit or None,
    }  # fmt: skip
    with Client() as client:
        if not args.follow:
            past = client.all_events(args.after or 0, args.board, **wanted)
            if out.json:
                out.document(list(past))
                return 0
            for event in past:
                out.line(_text(event, audit=args.audit))
            return 0
        try:
            for event in client.follow_events(args.after, args.board, **wanted):
                if out.json:
                    out.document(event)
                out.line(_text(event, audit=args.audit))
        except KeyboardInterrupt:
            return 0
    raise UnreachableError("the server closed the stream of events", "run it again to go on")


def _text(event: Event, *, audit: bool) -> str:
    about = event.get("board") or ""
    if audit:
        source = event["data"].get("source") or {}
        came = " ".join(source.get(key) or "" for key in ("via", "address", "token")).strip()
        who = event.get("principal") or ""
        return (
            f"{event['seq']:>6}  {local_time(event['at'])}  {who:<12}{event['kind']:<20}{event['text']}"
            + (f"  [{came}]" if came else "")
        )
    return f"{event['seq']:>6}  {local_time(event['at'])}  {about:<12}{event['kind']:<20}{event['text']}"


VERBS = {"events": (_events_arguments, events)}
