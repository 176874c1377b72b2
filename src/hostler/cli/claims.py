"""Verbs about claims: claim, claims, release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.waits import (
    TIMEOUT,
    finish_release,
    going_on,
    run_status,
    wait_arguments,
    watch_run,
)
from hostler.cli.words import duration, seconds_text, until
from hostler.client.client import Client
from hostler.client.errors import DeadlineError
from hostler.client.waiting import wait_claim

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Claim

_QUEUE_SECONDS = 86400.0


def _claim_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board_class", metavar="CLASS")
    parser.add_argument("--image", help="install this image and boot it as soon as the board is yours")
    parser.add_argument("--name", default="", help="your own name for the claim")
    parser.add_argument("--ttl", metavar="TIME", help="how long, such as 90s, 10m, 2h, 1d")
    parser.add_argument("--power", action="store_true", help="switch the board on as soon as it is yours")
    parser.add_argument(
        "--wait",
        nargs="?",
        type=duration,
        const=_QUEUE_SECONDS,
        metavar="SECONDS",
        help="queue when no board is free, and wait for it (and for --image); give CLASS before it",
    )


def claim(args: argparse.Namespace, out: Output) -> int:
    """Claim a board, and with ``--wait`` wait until it is there and has its image."""
    waiting = args.wait is not None
    with Client() as client:
        held = client.claim(
            args.board_class, image=args.image, name=args.name, ttl=args.ttl, power=args.power, wait=waiting
        )
        if waiting and held["state"] == "pending":
            held = _wait_in_queue(client, out, held, args.wait)
        status = 0 if held["state"] in ("pending", "active") else 1
        if held["state"] == "active":
            claim_name = held["name"] or held["id"]
            out.line(f"{held['board']} is yours for {seconds_text(held['ttl'])}: claim {claim_name}")
        else:
            out.line(f"claim {held['id']} is {held['state']} {held['reason']}".rstrip())
        if args.image and held["state"] == "active" and held["board"]:
            status = _installing(client, out, held, held["board"], wait=waiting)
        if out.json:
            out.document(client.get_claim(held["id"]))
    return status


def _installing(client: Client, out: Output, held: Claim, board: str, *, wait: bool) -> int:
    """Tell of the run that came with the claim, with ``wait`` how it ended; return the exit status."""
    run = client.board(board)["run"]
    if run is None or run["claim"] != held["id"]:
        out.note(f"hostler: {held['image']} is not being installed on {board}")
        out.note(f"  `hostler events --board {board}` tells why; `hostler deploy` tries again")
        return 1
    if wait:
        return run_status(out, watch_run(client, out, run, duration(TIMEOUT)))
    out.line(f"{held['image']} is being installed; look with `hostler show {board}`")
    return 0


def _wait_in_queue(client: Client, out: Output, held: Claim, seconds: float) -> Claim:
    told: list[int | None] = []

    def seen(present: Claim) -> None:
        if present["state"] == "pending" and present["position"] not in told[-1:]:
            told.append(present["position"])
            out.line(
                f"claim {present['id']}: number {present['position']} in the queue for {present['class']}"
            )

    advice = f"look with `hostler show {held['id']}`; leave the queue with `hostler release {held['id']}`"
    with going_on("the claim", advice):
        try:
            return wait_claim(client, held["id"], seconds=seconds, seen=seen)
        except DeadlineError:
            raise DeadlineError(f"no board of class {held['class']} became free in time") from None


def _claims_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="those that have ended, too")


def claims(args: argparse.Namespace, out: Output) -> int:
    """Print the claims."""
    with Client() as client:
        found = client.claims("all" if args.all else "open")
    if out.json:
        out.document(found)
    out.table(
        ("claim", "name", "principal", "class", "board", "state", "ends"),
        [
            (
                c["id"],
                c["name"],
                c["principal"],
                c["class"],
                c["board"] or "",
                f"{c['state']} ({c['position']})" if c["position"] else c["state"],
                c["reason"] if c["state"] == "closed" else until(c["expires"]),
            )
            for c in found
        ],
        "no claims",
    )
    return 0


def _release_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claim", metavar="CLAIM", help="its id or name")
    wait_arguments(parser)


def release(args: argparse.Namespace, out: Output) -> int:
    """Release a claim and wait until its board is clean."""
    with Client() as client:
        released = client.release(args.claim)
        if args.no_wait or released["state"] == "closed":
            if out.json:
                out.document(released)
            out.line(f"claim {released['id']} is {released['state']}")
            return 0
        return finish_release(client, out, released, args.timeout)


VERBS = {
    "claim": (_claim_arguments, claim),
    "claims": (_claims_arguments, claims),
    "release": (_release_arguments, release),
}
