"""The verb console: a board's serial console on this terminal, in a pipe, behind a port, and what it said."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from hostler.cli.console_terminal import join, print_bytes, size
from hostler.cli.words import local_time
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from hostler.cli.output import Output
    from hostler.client.console import ConsoleSession


def _console_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--follow", action="store_true", help="only read, until Ctrl-C")
    parser.add_argument(
        "--linger",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="with input from a pipe: leave when the board was silent that long after its end (default 2)",
    )
    log = parser.add_argument_group("what it said before")
    log.add_argument("--log", action="store_true", help="print the log of the last boot, and leave")
    which = log.add_mutually_exclusive_group()
    which.add_argument("--boot", type=int, metavar="N", help="with --log: of that boot")
    which.add_argument("--claim", metavar="CLAIM", help="with --log: everything under that claim")
    log.add_argument("--since", metavar="TIME", help="with --log: from so long ago (10m) or a Unix time on")
    log.add_argument("--tail", type=int, metavar="BYTES", help="with --log: only the last bytes")
    log.add_argument("--search", metavar="RE", help="with --log: only the lines that match, with their time")
    out = parser.add_argument_group("for other programs")
    out.add_argument("--listen", metavar="[HOST:]PORT", help="carry the console on a TCP port, until Ctrl-C")
    out.add_argument("--rfc2217", action="store_true", help="with --listen: as a serial line, by RFC 2217")
    out.add_argument(
        "--allow-remote", action="store_true", help="with --listen: on an address that others reach, too"
    )


def console(args: argparse.Namespace, out: Output) -> int:
    """Attach to a board's console, or print what it said."""
    wrong = _contradiction(args)
    if wrong:
        out.note(f"hostler: {wrong}")
        return 2
    with Client() as client:
        if args.log:
            return _log(client, args, out)
        if args.listen:
            from hostler.cli.console_listen import listen

            return listen(
                client, args.board, args.listen, out, com_port=args.rfc2217, remote=args.allow_remote
            )
        terminal = sys.stdin.isatty() and not args.json and not args.follow
        with client.console(args.board, write=not args.follow, size=size()) as session:
            if terminal:
                return join(client, session, out)
            show = _json_printer(session, out) if args.json else print_bytes
            if args.follow:
                return _follow(session, out, show)
            return _pipe(session, show, args.linger)


def _contradiction(args: argparse.Namespace) -> str:
    """Return what is asked for and cannot be, or nothing."""
    given = [name for name in ("boot", "claim", "since", "tail", "search") if getattr(args, name) is not None]
    if given and not args.log:
        return f"--{given[0]} needs --log"
    if args.log and (args.follow or args.listen):
        return "--log prints and leaves; leave out --follow and --listen"
    if (args.rfc2217 or args.allow_remote) and not args.listen:
        return f"{'--rfc2217' if args.rfc2217 else '--allow-remote'} needs --listen PORT"
    if args.listen and args.follow:
        return "--listen carries both ways; leave out --follow"
    if args.search is not None and args.tail is not None:
        return "--search looks through everything; leave out --tail"
    return ""


def _log(client: Client, args: argparse.Namespace, out: Output) -> int:
    which = {"boot": args.boot, "claim": args.claim, "since": args.since}
    if args.search is None:
        data = client.console_log(args.board, tail=args.tail, **which)
        if args.json:
            out.document({"board": args.board, "text": data.decode(errors="replace")})
        else:
            print_bytes(data)
        return 0
    found = client.search_console(args.board, args.search, **which)
    if args.json:
        out.document(found)
    for match in found["matches"]:
        boot = "-" if match["boot"] is None else match["boot"]
        out.line(f"{local_time(match['time'])}  boot {boot}  {match['line']}")
    if not found["complete"]:
        out.note("hostler: there is more; ask for one --boot, or for less with --since")
    return 0 if found["matches"] else 1


def _follow(session: ConsoleSession, out: Output, show: Callable[[bytes], None]) -> int:
    out.note(f"hostler: reading the console of {session.board}; leave with Ctrl-C")
    try:
        while True:
            show(session.read(1.0))
    except KeyboardInterrupt:
        return 0


def _pipe(session: ConsoleSession, show: Callable[[bytes], None], linger: float) -> int:
    """Type what comes from standard input, print what the board says, leave when both have ended."""
    ended = threading.Event()
    failed: list[ClientError] = []

    def type_input() -> None:
        try:
            while data := os.read(0, 4096):
                # A serial console's Enter key is a carriage return; firmware menus know no other.
                session.send(data.replace(b"\n", b"\r"))
        except ClientError as error:
            failed.append(error)
        finally:
            ended.set()

    threading.Thread(target=type_input, name="console-input", daemon=True).start()
    last = time.monotonic()
    while not (ended.is_set() and time.monotonic() - last >= linger):
        if not ended.is_set():
            last = time.monotonic()
        data = session.read(min(0.2, linger))
        if data:
            last = time.monotonic()
        show(data)
    if failed:
        raise failed[0]
    return 0


def _json_printer(session: ConsoleSession, out: Output) -> Callable[[bytes], None]:
    """Return what prints console bytes as one JSON document each."""
    import codecs

    out.document(session.attached)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(data: bytes) -> None:
        while session.notices:
            out.document(session.notices.pop(0))
        if text := decoder.decode(data):
            out.document({"event": "output", "text": text})

    return show


VERBS = {"console": (_console_arguments, console)}
