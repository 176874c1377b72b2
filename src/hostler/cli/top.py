"""The verb top: every board of the lab, live in a terminal, or once as a table."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from hostler.cli.top_wall import COLUMNS, GROUPS, SORTS, Wall
from hostler.client.client import Client
from hostler.client.wall import BoardNews

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output

_EVENTS = 500
"""Newest events looked at for what happened last on each board; the server gives no more at once."""


def _top_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", metavar="WORD", nargs="*", help="only boards that have all of these words")
    parser.add_argument("--sort", choices=SORTS, default="name", help="what is on top (default: name)")
    parser.add_argument("--group", choices=GROUPS, default="none", help="boards of one kind together")
    parser.add_argument("--once", action="store_true", help="print a table and end, as without a terminal")


def top(args: argparse.Namespace, out: Output) -> int:
    """Show the wall until it is left, or print it."""
    words = " ".join(args.filter)
    with Client() as client:
        wall = Wall()
        for board in client.boards():
            wall.hear(BoardNews("board", board, board["name"]), time.monotonic())
        for event in client.events(last=str(_EVENTS)):
            wall.happened(event)
        settings = client.settings
    if args.once or out.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _print(wall, words, args, out)
    from hostler.cli.top_app import TopApp

    TopApp(settings, wall, words, sort=args.sort, group=args.group).run()
    return 0


def _print(wall: Wall, words: str, args: argparse.Namespace, out: Output) -> int:
    rows = wall.rows(words, args.sort, args.group)
    if out.json:
        out.document([{**wall.boards[row.name], "last": row.cells[-1]} for row in rows if row.name])
    empty = (
        "no board has these words" if wall.boards else "no boards; write a lab.toml and `hostler apply` it"
    )
    out.table(COLUMNS, [row.cells for row in rows], empty)
    out.line(wall.count())
    return 0


VERBS = {"top": (_top_arguments, top)}
