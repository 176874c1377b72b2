"""Verbs about boards: classes, boards, show, recover."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hostler.cli.claims import BEING_WIPED, wants_text
from hostler.cli.power import board_power
from hostler.cli.progress import run_text
from hostler.cli.queue_line import place_text
from hostler.cli.waits import TIMEOUT, going_on
from hostler.cli.words import duration, local_time, until
from hostler.client.client import Client
from hostler.client.documents import ENDED
from hostler.client.errors import ClientError, NotFoundError
from hostler.client.waiting import wait_board

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.claim_calls import Claim
    from hostler.client.documents import Board, Holder


def _classes_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--available", action="store_true", help="only classes with a free board")


def classes(args: argparse.Namespace, out: Output) -> int:
    """Print the classes."""
    with Client() as client:
        found = client.classes(available=args.available)
    if out.json:
        out.document(found)
    out.table(
        ("class", "platform", "arch", "boards", "available", "waiting"),
        [
            (c["name"], c["platform"], c["arch"], str(c["boards"]), str(c["available"]), str(c["waiting"]))
            for c in found
        ],
        "no class has a free board"
        if args.available
        else "no classes; write a lab.toml and `hostler apply` it",
    )
    return 0


def _boards_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--claimed", choices=("mine", "any", "none"), help="only boards you hold, anybody holds, nobody holds"
    )


def boards(args: argparse.Namespace, out: Output) -> int:
    """Print the boards."""
    with Client() as client:
        found = client.boards(args.claimed)
    if out.json:
        out.document(found)
    out.table(
        ("board", "class", "lifecycle", "power", "claim", "run"),
        [
            (
                board["name"],
                board["class"],
                board["lifecycle"],
                board_power(board),
                (board["claim"]["name"] or board["claim"]["id"]) if board["claim"] else "",
                run_text(board["run"]) if board["run"] else "",
            )
            for board in found
        ],
        "no boards; write a lab.toml and `hostler apply` it",
    )
    return 0


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="BOARD|CLAIM")


def show(args: argparse.Namespace, out: Output) -> int:
    """Print everything about a board or a claim."""
    with Client() as client:
        try:
            board = client.board(args.name)
        except NotFoundError:
            try:
                claim = client.get_claim(args.name)
            except NotFoundError:
                raise ClientError(
                    f'there is no board and no claim "{args.name}"',
                    "`hostler boards` and `hostler claims` list them",
                ) from None
            _show_claim(claim, _leaving(client, claim), out)
        else:
            _show_board(board, out)
    return 0


def _show_board(board: Board, out: Output) -> None:
    if out.json:
        out.document(board)
        return
    claim, run, boot = board["claim"], board["run"], board["boot"]
    lifecycle = board["lifecycle"] + (f": {board['reason']}" if board["reason"] else "")
    out.pairs(
        [
            ("board", board["name"]),
            ("class", f"{board['class']} ({board['platform']}, {board['arch']})"),
            ("lifecycle", lifecycle),
            ("health", "" if board["health"] == "unknown" else board["health"]),
            ("claim", holder_text(board, claim) if claim else ""),
            ("power", board_power(board)),
            ("run", run_text(run) if run else ""),
            ("boot", f"{boot['number']} ({boot['purpose']}) {local_time(boot['started'])}" if boot else ""),
            ("console", {True: "connected", False: "not connected", None: "none"}[board["console"]]),
            ("network", board["network"]),
            ("macs", ", ".join(board["macs"])),
            ("uuid", board["uuid"] or ""),
            ("serial", board["serial"] or ""),
            ("address", board["address"] or ""),
            ("labels", ", ".join(f"{key}={value}" for key, value in board["labels"].items())),
            *disk_rows(board["facts"]),
            *((f"fact {key}", _fact(value)) for key, value in sorted(board["facts"].items())),
        ]
    )  # fmt: skip


def disk_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a line for each disk that says how it is."""
    disks = facts.get("disks")
    return [
        (f"disk {disk.get('path')}", str(disk["health"].get("text", "")))
        for disk in (disks if isinstance(disks, list) else [])
        if isinstance(disk, dict) and isinstance(disk.get("health"), dict)
    ]


def _leaving(client: Client, claim: Claim) -> list[tuple[str, str]]:
    """Return the boards of a claim that is being released, each with what becomes of it."""
    if claim["state"] != "releasing":
        return []
    return [(name, leaving_text(client.board(name), claim["id"])) for name in claim["boards"]]


def _show_claim(claim: Claim, leaving: list[tuple[str, str]], out: Output) -> None:
    if out.json:
        out.document(claim)
        return
    state = claim["state"] + (f" ({claim['reason']})" if claim["reason"] else "")
    shares = ", ".join(f"{user} ({sharing})" for user, sharing in claim["shares"].items())
    out.pairs(
        [
            ("claim", claim["id"]),
            ("name", claim["name"]),
            ("wants", wants_text(claim["wants"])),
            ("boards", ", ".join(claim["boards"])),
            ("state", state),
            ("queue", place_text(claim) if claim["state"] == "pending" else ""),
            ("principal", claim["principal"]),
            ("project", claim["project"]),
            ("priority", str(claim["priority"] or "")),
            ("shared with", shares),
            ("image", claim["image"] or ""),
            ("created", local_time(claim["created"])),
            ("booked for", local_time(claim["start"])),
            ("since", local_time(claim["granted"])),
            ("ends", until(claim["expires"]) if claim["state"] == "active" else ""),
            ("kept alive", f"every {claim['keep_alive']:g} s" if claim["keep_alive"] else ""),
            *leaving,
            ("closed", local_time(claim["closed"])),
            *((f"{board} unclean", why) for board, why in sorted(claim["unclean"].items())),
        ]
    )  # fmt: skip


def _recover_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("--no-wait", action="store_true", help="start it and return at once")
    parser.add_argument("--timeout", type=duration, default=TIMEOUT, metavar="TIME", help="longest wait")


def recover(args: argparse.Namespace, out: Output) -> int:
    """Have a quarantined board wiped again and wait for it."""
    from hostler.cli.progress import progress

    with Client() as client:
        board = client.recover(args.board)
        if not args.no_wait:
            advice = f"look with `hostler show {args.board}`"
            with going_on("the wipe", advice), progress(live=out.live, quiet=out.json) as view:

                def seen(now: Board) -> None:
                    if now["run"] is not None:
                        view.run(now["name"], now["run"])

                board = wait_board(
                    client,
                    args.board,
                    lambda now: now["lifecycle"] != "releasing",
                    seconds=args.timeout,
                    what="being clean",
                    seen=seen,
                )
    if out.json:
        out.document(board)
    out.line(f"{board['name']} is {board['lifecycle']}" + (f": {board['reason']}" if board["reason"] else ""))
    return 1 if board["lifecycle"] == "quarantined" else 0


def holder_text(board: Board, claim: Holder) -> str:
    """Return who holds a board until when, or that it was given back and is on its way to the next one."""
    whose = f"{claim['name'] or claim['id']} of {claim['principal']}"
    if board["lifecycle"] == "releasing":
        return f"{whose}, given back; {BEING_WIPED}"
    return f"{whose}, ends {until(claim['expires'])}"


def leaving_text(board: Board, claim: str) -> str:
    """Return what becomes of a board that a claim, by its id, has given back."""
    holder, run = board["claim"], board["run"]
    if holder is not None and holder["id"] != claim:
        return "wiped, and somebody else's"
    if board["lifecycle"] != "releasing":
        return board["lifecycle"] + (f": {board['reason']}" if board["reason"] else "")
    # The run may still be the one that the release has ended.
    doing = f": {run_text(run)}" if run is not None and run["state"] not in ENDED else ""
    return f"{BEING_WIPED}{doing}"


def _fact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


VERBS = {
    "classes": (_classes_arguments, classes),
    "boards": (_boards_arguments, boards),
    "show": (_show_arguments, show),
    "recover": (_recover_arguments, recover),
}
