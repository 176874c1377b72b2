"""Verbs about wires: check, adopt."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.cli.inventory import print_changes
from hostler.cli.words import duration, local_time
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hostler.cli.output import Output
    from hostler.client.documents import Check, CheckReport

_TIMEOUT_SECONDS = 180.0
"""Longest time from power-on until a board asks for an address, unless somebody says otherwise."""

_LISTEN_SECONDS = 5.0
"""How long is waited for the stream of events; without it the rows are printed at the end."""

_LAST_ROWS_SECONDS = 0.5
"""How long rows that are still on their way are waited for when the result is there already."""


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD", nargs="?", help="only the wires of this board")
    parser.add_argument(
        "--active",
        action="store_true",
        help="try the wires: switch the board off and on, and see who answers",
    )
    parser.add_argument("--all", action="store_true", help="with --active: every board that nobody holds")
    parser.add_argument(
        "--last", action="store_true",
        help="print what the last check of the whole lab found; with --active: of those that tried wires",
    )  # fmt: skip
    parser.add_argument(
        "--stop", action="store_true", help="call off the trial of wires that goes on, of BOARD or of the lab"
    )
    parser.add_argument("--class", dest="board_class", metavar="CLASS", help="with --all: only of this class")
    parser.add_argument("--at-once", type=int, metavar="N", help="with --all: boards side by side (4)")
    parser.add_argument(
        "--force", action="store_true", help="with --active: also a board you hold, whose power is cut"
    )
    parser.add_argument(
        "--timeout", type=duration, metavar="TIME",
        help="with --active: longest time from power-on until a board asks for an address (3m)",
    )  # fmt: skip


def check(args: argparse.Namespace, out: Output) -> int:
    """Look at every wire, or try them, and print what was found."""
    if args.stop:
        return _stop(args, out)
    if args.last:
        return _last(args, out)
    if not args.active:
        for option in ("all", "force", "board_class", "at_once", "timeout"):
            if getattr(args, option):
                return _usage(out, f"--{option.replace('board_', '').replace('_', '-')} goes with --active")
        with Client() as client:
            report = client.check(args.board)
        rows = _Rows(out)
    else:
        if args.all == (args.board is not None):
            return _usage(out, "--active wants one BOARD, or --all")
        with Client() as client:
            rows = _Rows(out)
            with rows.following(client, args.board):
                report = _try(client, args, out)
    if out.json:
        out.document(report)
    rows.rest(report["checks"])
    _summary(report, out)
    return 0 if report["ok"] else 1


def _try(client: Client, args: argparse.Namespace, out: Output) -> CheckReport:
    """Have wires tried, and call that off when whoever waits presses Ctrl-C."""
    seconds = _TIMEOUT_SECONDS if args.timeout is None else args.timeout
    try:
        if args.board is not None:
            return client.test_wires(args.board, force=args.force, seconds=seconds)
        return client.test_all_wires(args.board_class, seconds=seconds, at_once=args.at_once)
    except KeyboardInterrupt:
        out.note("hostler: calling it off …")
        try:
            client.call_off_check(args.board)
        except ClientError as error:
            out.note(f"hostler: {error}")
        else:
            out.note("hostler: it is called off; what was tried is put back, and its power follows")
        raise


def _stop(args: argparse.Namespace, out: Output) -> int:
    if any((args.active, args.last, args.all, args.force, args.board_class, args.at_once, args.timeout)):
        return _usage(out, "--stop goes with a BOARD or alone")
    with Client() as client:
        client.call_off_check(args.board)
    if out.json:
        out.document({"called_off": args.board or "trial"})
    out.line("called off; what was tried is put back, and its power follows")
    return 0


def _last(args: argparse.Namespace, out: Output) -> int:
    if any((args.board, args.all, args.force, args.board_class, args.at_once, args.timeout)):
        return _usage(out, "--last goes with --active or alone")
    with Client() as client:
        slot = client.last_check()["trial" if args.active else "look"]
    last, running = slot["last"], slot["running"]
    if out.json:
        out.document(slot)
    if running is not None:
        out.note(f"hostler: one by {running['by']} goes on: {running['done']} of {running['of']} boards")
    if last is None:
        out.line("never checked")
        return 0 if out.json else 1
    out.line(f"{local_time(last['at'])}, by {last['by']}")
    if last["error"]:
        out.line(f"FAILED  {last['error']}")
    _Rows(out).rest(last["checks"])
    failed = sum(not found["ok"] for found in last["checks"])
    out.line(f"{last['count']} looked at, {failed} failed" if failed else f"{last['count']} looked at")
    return 0 if last["ok"] else 1


def _usage(out: Output, text: str) -> int:
    out.note(f"hostler check: {text}")
    return 2


def _summary(report: CheckReport, out: Output) -> None:
    count, bad = len(report["checks"]), sum(not found["ok"] for found in report["checks"])
    out.line(f"{count} looked at, {bad} failed" if bad else f"{count} looked at, all well")


class _Rows:
    """Prints results as they come, each once."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._printed: set[str] = set()
        self._turn = threading.Lock()

    def show(self, found: Check) -> None:
        """Print a result, unless it was printed."""
        with self._turn:
            if found["what"] in self._printed:
                return
            self._printed.add(found["what"])
        self._out.line(f"{'ok    ' if found['ok'] else 'FAILED'}  {found['what']}: {found['text']}")
        if not found["ok"] and found.get("advice"):
            self._out.line(f"        {found['advice']}")

    def rest(self, checks: list[Check]) -> None:
        """Print those that no event brought."""
        for found in checks:
            self.show(found)

    @contextmanager
    def following(self, client: Client, board: str | None) -> Iterator[None]:
        """Print results while the block waits for the whole."""
        listening, ended = threading.Event(), threading.Event()

        def follow() -> None:
            try:
                for event in client.follow_events(board=board, begun=listening.set):
                    if ended.is_set():
                        return
                    if event["kind"] == "check.step":
                        found: Any = event
                        self.show(found["data"])
            except ClientError:
                listening.set()  # whatever is missed is in the result

        # A daemon: it waits for an event that may never come, and nothing is lost with it.
        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        listening.wait(_LISTEN_SECONDS)
        try:
            yield
        finally:
            thread.join(_LAST_ROWS_SECONDS)
            ended.set()


def _adopt_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mac", metavar="MAC", help="a discovered machine, as `hostler boards` lists it")
    parser.add_argument("--name", required=True, metavar="NAME", help="what the board is to be called")
    parser.add_argument("--class", dest="board_class", required=True, metavar="CLASS")
    parser.add_argument(
        "--file", type=Path, metavar="lab.toml", help="the file that describes the lab, on this machine"
    )
    parser.add_argument("--apply", action="store_true", help="add the board to the inventory (and to --file)")
    parser.add_argument(
        "--timeout", type=duration, default="90s", metavar="TIME",
        help="longest time from power-on until it asks for an address (90s)",
    )  # fmt: skip


def adopt(args: argparse.Namespace, out: Output) -> int:
    """Find a machine's wires and print its table for lab.toml; with ``--apply`` add it."""
    before = _read(args.file) if args.file is not None else None
    with Client() as client:
        rows = _Rows(out)
        listed = f"unknown-{args.mac.lower().removeprefix('unknown-').replace(':', '').replace('-', '')}"
        with rows.following(client, listed):
            found = client.find_wires(args.mac, args.name, args.board_class, seconds=args.timeout)
        rows.rest(found["checks"])
        out.line()
        for line in found["toml"].splitlines():
            out.line(line)
        out.line()
        changes = None
        if found["power"] is None:
            out.note("hostler: its power was not found, so nothing was added")
        elif args.apply:
            changes = _add(client, args.file, before, found["toml"], out)
        else:
            where = args.file or "lab.toml"
            out.line(f"add these lines to {where}, or say --apply; nothing was changed")
    if out.json:
        out.document({**found, "changes": changes})
    return 0 if found["power"] is not None else 1


def _add(client: Client, file: Path | None, before: str | None, toml: str, out: Output) -> list[Any]:
    """Append a table to the inventory and to its file, after showing what that changes."""
    text = client.inventory()["text"] if before is None else before
    text = f"{text.rstrip()}\n\n{toml}"
    name = "lab.toml" if file is None else str(file)
    planned = client.apply(text, file=name, dry_run=True)
    print_changes(planned["changes"], out)
    if file is not None:
        _replace(file, text)
    client.apply(text, file=name)
    if file is None:
        out.note(
            "hostler: the board is in the inventory; if the server reads it from a file, add the lines there "
            "too, or the next change of that file takes it out again"
        )
    return list(planned["changes"])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"cannot read {file}: {error}") from None


def _replace(file: Path, text: str) -> None:
    """Write a file in one step: the server that watches it never reads half of it."""
    partial = file.with_name(f".{file.name}.new")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.chmod(file.stat().st_mode & 0o777)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ClientError(f"cannot write {file}: {error.strerror}", "nothing was changed") from None


VERBS = {"check": (_check_arguments, check), "adopt": (_adopt_arguments, adopt)}
