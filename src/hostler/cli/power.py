"""The verb ``power``: one board on, off or cycled, or every board of the lab off."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hostler.cli.waits import going_on
from hostler.cli.words import local_time
from hostler.client.client import Client
from hostler.client.documents import ENDED
from hostler.client.errors import ClientError, DeadlineError
from hostler.client.waiting import poll, wait_board

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Board, Power, PowerCut

_POWER_SECONDS = 60.0


def _power_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD", nargs="?")
    parser.add_argument("action", choices=("on", "off", "cycle", "status"), nargs="?")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it is read back")
    parser.add_argument(
        "--all-off",
        action="store_true",
        help="switch every board off, whatever it is doing (admin)",
    )
    parser.add_argument("--equipment", metavar="NAME", help="with --all-off: only boards on this equipment")
    parser.add_argument("--yes", action="store_true", help="with --all-off: do not ask")


def power(args: argparse.Namespace, out: Output) -> int:
    """Switch a board's power, wait until it is read back, and print it."""
    if args.all_off:
        if args.board is not None:
            out.note(f"hostler: --all-off is for every board; to switch one: hostler power {args.board} off")
            return 2
        return _all_off(args, out)
    if args.board is None or args.action is None or args.equipment is not None:
        out.note("hostler: say which board and what: hostler power BOARD on|off|cycle|status, or --all-off")
        return 2
    with Client() as client:
        if args.action == "status":
            present = client.power(args.board)
        else:
            present = client.set_power(args.board, args.action)
            if not args.no_wait:
                present = _wait(client, args.board, args.action, present)
    if out.json:
        out.document(present)
    out.line(f"{args.board}: {power_text(present)}")
    return 1 if args.action != "status" and present["error"] else 0


def _wait(client: Client, board: str, action: str, present: Power) -> Power:
    wanted = "off" if action == "off" else "on"

    def seen(now: Board) -> None:
        nonlocal present
        present = now["power"]

    def switched(now: Board) -> bool:
        return now["power"]["as_asked"]

    with going_on("the switching", f"look with `hostler power {board} status`"):
        try:
            what = f"power {wanted}"
            return wait_board(client, board, switched, seconds=_POWER_SECONDS, what=what, seen=seen)["power"]
        except DeadlineError as error:
            why = present["waits"] or present["error"]
            raise ClientError(f"{error}" + (f": {why}" if why else ""), error.advice) from None


def _all_off(args: argparse.Namespace, out: Output) -> int:
    where = f"on {args.equipment}" if args.equipment else "of the lab"
    if not args.yes and not _agreed(where, out):
        return 2
    with Client() as client:
        cut = client.all_off(args.equipment)
        left = [] if args.no_wait else _wait_all(client, cut)
    if out.json:
        out.document({**cut, "not_off": [board["name"] for board in left]})
    for name in cut["quarantined"]:
        out.line(f"{name} was being wiped and is quarantined; later: hostler recover {name}")
    for board in left:
        out.line(f"{board['name']}: {board_power(board)}")
    ended = f", {len(cut['runs'])} runs ended" if cut["runs"] else ""
    done = "asked to go off" if args.no_wait else "are off"
    out.line(f"{len(cut['boards']) - len(left)} of {len(cut['boards'])} boards {where} {done}{ended}")
    return 1 if left else 0


def _agreed(where: str, out: Output) -> bool:
    """Ask, where there is somebody to ask."""
    if out.json or not sys.stdin.isatty():
        out.note("hostler: this switches boards off under whoever uses them; add --yes")
        return False
    out.note(f"This switches off every board {where}: runs end, boards in mid-wipe are quarantined.")
    answer = input('Type "off" to go on: ')
    if answer.strip() != "off":
        out.note("hostler: nothing was switched")
        return False
    return True


def _wait_all(client: Client, cut: PowerCut) -> list[Board]:
    """Wait until all of these boards are off as far as anybody can know; returns those that are not."""
    names = set(cut["boards"])

    def not_off() -> list[Board]:
        return [
            board
            for board in client.boards()
            if board["name"] in names
            and board["power"]["desired"] == "off"
            and not board["power"]["as_asked"]
        ]

    with going_on("the switching", "look with `hostler boards`"):
        left: list[Board] = []

        def seen(now: list[Board]) -> None:
            nonlocal left
            left = now

        try:
            return poll(
                not_off, lambda now: not now, seconds=_POWER_SECONDS, what="power off everywhere", seen=seen
            )
        except DeadlineError:
            return left


def power_text(power: Power) -> str:
    """Return a board's power in words: what is, and what should be where that differs."""
    text = power["observed"]
    if power["observed"] == "unknown" and power["as_asked"]:
        text += f" (was switched {power['desired']}; it cannot be read)"
    elif power["desired"] != power["observed"]:
        since = f" since {local_time(power['mismatch_since'])}" if power["mismatch_since"] else ""
        text += f" (should be {power['desired']}{since})"
    if power["watts"] is not None:
        text += f", {power['watts']:.1f} W"
    if power["waits"]:
        text += f": {power['waits']}"
    return text + (f": {power['error']}" if power["error"] else "")


def board_power(board: Board) -> str:
    """Return a board's power; what it should be is what it is to be once no run switches it."""
    if board["lifecycle"] == "discovered":
        return ""
    if board["run"] is not None and board["run"]["state"] not in ENDED:
        return power_text({**board["power"], "desired": board["power"]["observed"]})
    return power_text(board["power"])


VERBS = {"power": (_power_arguments, power)}
