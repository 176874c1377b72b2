"""Verbs about the health of boards: health, train, maintenance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hostler.cli.waits import TIMEOUT, going_on
from hostler.cli.words import duration, local_time, until
from hostler.client.client import Client
from hostler.client.errors import DeadlineError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.care import BoardHealth, HealthReport

_ACTIONS = ("good", "bad", "unknown", "looping", "stop")
_LOOK_SECONDS = 1.0


def _health_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD", nargs="?")
    parser.add_argument(
        "action", metavar="good|bad|unknown|looping|stop", nargs="?", choices=_ACTIONS,
        help="set a verdict; looping: check it again and again; stop: end the check it is in",
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="check it now, or as soon as it is free")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why it is good or bad")


def health(args: argparse.Namespace, out: Output) -> int:
    """Print the health of boards, ask for a check, or set a verdict."""
    if args.check and (args.board is None or args.action is not None):
        out.note("hostler: say which board to check: hostler health BOARD --check")
        return 2
    with Client() as client:
        if args.board is None:
            return _all_boards(client.all_health(), out)
        if args.check or args.action:
            changed = client.set_health(args.board, "check" if args.check else args.action, args.reason)
            if out.json:
                out.document(changed)
            out.line(_in_words(changed))
            return 0
        report = client.board_health(args.board)
    if out.json:
        out.document(report)
    _print_report(report, out)
    return 0


def _all_boards(boards: list[BoardHealth], out: Output) -> int:
    if out.json:
        out.document(boards)
    out.table(
        ("board", "class", "health", "checked", "lifecycle", "detail"),
        [
            (
                board["board"], board["board_class"], board["verdict"], until(board["at"]),
                board["lifecycle"], _doing(board) or board["detail"] or board["suspect"],
            )
            for board in boards
        ],
        "no boards; write a lab.toml and `hostler apply` it",
    )  # fmt: skip
    return 0


def _doing(board: BoardHealth) -> str:
    checkup = board["checkup"]
    if checkup is None:
        return f"{board['asked']} asked for a check" if board["asked"] else ""
    done = checkup["passed"] + checkup["failed"]
    if checkup["kind"] == "training":
        return f"in training {done}/{checkup['of']}, {checkup['failed']} failed"
    if checkup["kind"] == "looping":
        return f"checked again and again: {checkup['passed']} passed, {checkup['failed']} failed"
    return "being checked"


def _in_words(board: BoardHealth) -> str:
    doing = _doing(board)
    return f"{board['board']}: {board['verdict']}" + (f", {doing}" if doing else "")


def _print_report(report: HealthReport, out: Output) -> None:
    where = f"{report['lifecycle']}: {report['reason']}" if report["reason"] else report["lifecycle"]
    out.pairs(
        [
            ("board", report["board"]),
            ("health", report["verdict"]),
            ("checked", local_time(report["at"])),
            ("detail", report["detail"]),
            ("in a row", f"{report['passes']} passed, {report['fails']} failed"),
            ("suspect", report["suspect"]),
            ("now", _doing(report)),
            ("lifecycle", where),
        ]
    )
    training = report["training"]
    if training is None:
        return
    failed = [boot for boot in training["boots"] if boot["fault"]]
    out.line()
    out.line(
        f"training of {local_time(training['began'])}: {len(training['boots'])} boots, {len(failed)} failed"
    )
    if training["stages"]:
        out.table(
            ("from power-on to", "boots", "min", "median", "max"),
            [
                (
                    row["stage"], str(row["boots"]), f"{row['min']:g} s", f"{row['median']:g} s",
                    f"{row['max']:g} s",
                )
                for row in training["stages"]
            ],
            "",
        )  # fmt: skip
    for boot in failed:
        out.line(f"boot {boot['round']}: {boot['fault']}")


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--boots", type=int, default=20, metavar="N", help="how often it boots (default 20)")
    parser.add_argument("--no-wait", action="store_true", help="start it and return at once")
    parser.add_argument(
        "--timeout", type=duration, default=TIMEOUT, metavar="TIME", help=f"longest wait (default {TIMEOUT})"
    )


def train(args: argparse.Namespace, out: Output) -> int:
    """Boot a board again and again before anybody may have it, and print how it went."""
    with Client() as client:
        begun = client.train(args.board, args.boots)
        if args.no_wait:
            if out.json:
                out.document(begun)
            out.line(f"{_in_words(begun)}; look with `hostler health {args.board}`")
            return 0
        advice = f"look with `hostler health {args.board}`; end it with `hostler health {args.board} stop`"
        with going_on(f"the training of {args.board}", advice):
            report = _watch(client, out, args.board, args.timeout)
    if out.json:
        out.document(report)
    _print_report(report, out)
    return 0 if report["verdict"] == "good" else 1


def _watch(client: Client, out: Output, board: str, seconds: float) -> HealthReport:
    end = time.monotonic() + seconds
    told = 0
    while True:
        report = client.board_health(board)
        boots = report["training"]["boots"] if report["training"] else []
        for boot in boots[told:]:
            stages = ", ".join(f"{stage} {at:g} s" for stage, at in boot["stages"].items())
            out.line(f"boot {boot['round']}: {boot['fault'] or stages or 'passed'}")
        told = len(boots)
        if report["checkup"] is None:
            return report
        if time.monotonic() > end:
            raise DeadlineError(f"the training of {board} has not ended in time")
        time.sleep(_LOOK_SECONDS)


def _maintenance_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for everybody to see")
    parser.add_argument("--now", action="store_true", help="end the claim that holds the board")
    parser.add_argument("--end", action="store_true", help="give the board back: it is wiped first")


def maintenance(args: argparse.Namespace, out: Output) -> int:
    """Take a board aside to work on it, or give it back."""
    if args.end and (args.now or args.reason):
        out.note("hostler: --end goes alone")
        return 2
    with Client() as client:
        if args.end:
            board = client.end_maintenance(args.board)
        else:
            board = client.begin_maintenance(args.board, args.reason, now=args.now)
    if out.json:
        out.document(board)
    if args.end:
        out.line(f"{board['name']} is {board['lifecycle']}; it is free once it was wiped")
    elif board["lifecycle"] == "maintenance":
        out.line(
            f"{board['name']} is in maintenance; end it with `hostler maintenance {board['name']} --end`"
        )
    else:
        out.line(f"{board['name']} is {board['lifecycle']} and goes to maintenance once it is given back")
    return 0


VERBS = {
    "health": (_health_arguments, health),
    "train": (_train_arguments, train),
    "maintenance": (_maintenance_arguments, maintenance),
}
