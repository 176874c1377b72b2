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

_RECENT = 20


def _events_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C, one JSON document a line")
    parser.add_argument("--board", metavar="BOARD", help="only what is about this board")
    parser.add_argument(
        "--after", type=int, metavar="N", help="begin after entry N (default: all, with --follow the last 20)"
    )


def events(args: argparse.Namespace, out: Output) -> int:
    """Print history, and with ``--follow`` go on as it happens."""
    with Client() as client:
        past = client.events(args.after or 0, args.board)
        if not args.follow:
            if out.json:
                out.document(past)
            for event in past:
                out.line(_text(event))
            return 0
        last = past[-1]["seq"] if past else args.after or 0
        shown = past if args.after is not None else past[-_RECENT:]
        try:
            for event in shown:
                _print(event, out)
            for event in client.follow_events(last, args.board):
                _print(event, out)
        except KeyboardInterrupt:
            return 0
    raise UnreachableError("the server closed the stream of events", "run it again to go on")


def _print(event: Event, out: Output) -> None:
    if out.json:
        out.document(event)
    out.line(_text(event))


def _text(event: Event) -> str:
    about = event.get("board") or ""
    return f"{event['seq']:>6}  {local_time(event['at'])}  {about:<12}{event['kind']:<20}{event['text']}"


VERBS = {"events": (_events_arguments, events)}
