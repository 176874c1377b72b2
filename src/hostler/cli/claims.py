"""Verbs about claims: claim, claims, release."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING

from hostler.cli.queue_line import estimate_text, place_text, queue_line
from hostler.cli.waits import (
    TIMEOUT,
    finish_release,
    going_on,
    run_status,
    wait_arguments,
    watch_run,
)
from hostler.cli.words import duration, moment, seconds_text, until
from hostler.client.claim_calls import want
from hostler.client.client import Client
from hostler.client.errors import ClientError, DeadlineError
from hostler.client.waiting import wait_claim

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.claim_calls import Claim, Want

_QUEUE_SECONDS = 86400.0
_KEEP_ALIVE = 30.0

BEING_WIPED = "being wiped"
"""What a board that was given back is doing until it is clean; its claim has no end to wait for any more."""


def _claim_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="CLASS|LABELS", nargs="?", help="such as pi4, or arch=arm64,ram>=4G")
    parser.add_argument("--board", metavar="NAME", help="this very board")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="so many of them")
    parser.add_argument(
        "--with", dest="more", action="append", default=[], metavar="CLASS|LABELS",
        help="and one of these; all or none are given (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--image", help="install this image and boot it as soon as the boards are yours")
    parser.add_argument("--name", default="", help="your own name for the claim")
    parser.add_argument("--ttl", "--for", metavar="TIME", help="how long, such as 90s, 10m, 2h, 1d")
    parser.add_argument("--at", metavar="TIME", help="book them for later: +2h, or 2030-01-31T18:00")
    parser.add_argument("--power", action="store_true", help="switch the boards on as soon as they are yours")
    parser.add_argument("--project", help="on whose account; needed only if you belong to several")
    parser.add_argument(
        "--priority", type=int, default=0, metavar="N", help="as far as the project may; below 0: stand back"
    )
    parser.add_argument(
        "--wait", nargs="?", type=duration, const=_QUEUE_SECONDS, metavar="TIME",
        help="queue when they are not free, and wait (and for --image); with a time give up after it",
    )  # fmt: skip
    parser.add_argument(
        "--keep-alive", nargs="?", type=duration, const=_KEEP_ALIVE, metavar="TIME",
        help="hold them only while this runs; the server waits so long for a sign of life (30s)",
    )  # fmt: skip
    # What follows `--` is a command that is run while the boards are held.
    parser.set_defaults(command=[])
    parser.epilog = "With `-- COMMAND ARGUMENTS` the boards are yours while the command runs."


def _usage(args: argparse.Namespace) -> str:
    """Say what is wrong with what was typed, or nothing."""
    if args.what is None and args.board is None:
        return "say what: CLASS, labels such as arch=arm64, or --board NAME; `hostler classes` lists them"
    if args.board is not None and (args.what is not None or args.count != 1):
        return "--board names one board: leave out the class, the labels and --count"
    return ""


def _wants(args: argparse.Namespace) -> list[Want]:
    first: Want = {"board": args.board} if args.board is not None else want(args.what)
    return [{**first, "count": args.count}, *(want(text) for text in args.more)]


def _at(text: str | None) -> str | None:
    """Give a time of the clock on this machine its zone."""
    if text is None or text.startswith("+"):
        return text
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError:
        raise ClientError(f'"{text}" is no time; write +2h, or 2030-01-31T18:00') from None


def claim(args: argparse.Namespace, out: Output) -> int:
    """Claim boards; wait for them with ``--wait``, hold them while this runs with ``--keep-alive``."""
    if wrong := _usage(args):
        out.note(f"hostler: {wrong}")
        return 2
    keep_alive = args.keep_alive or (_KEEP_ALIVE if args.command else None)
    with ExitStack() as stack:
        client = stack.enter_context(Client())
        held = client.claim(
            wants=_wants(args), image=args.image, name=args.name, ttl=args.ttl, power=args.power,
            wait=args.wait is not None, project=args.project, priority=args.priority, at=_at(args.at),
            keep_alive=keep_alive,
        )  # fmt: skip
        if keep_alive is not None:
            from hostler.cli.keep_alive import kept, run_command, stay

            keeper = stack.enter_context(kept(client, held))
            held = _wait_in_queue(client, out, held, args.wait, alive=True)
            status = _told(client, out, args, held)
            if status == 0:
                keeper.claim = held
                if args.command:
                    return run_command(keeper, args.command)
                out.line("they are yours while this runs; Ctrl-C gives them back")
                stay(keeper)
            return status
        if args.wait is not None:
            held = _wait_in_queue(client, out, held, args.wait, alive=False)
        return _told(client, out, args, held)


def _told(client: Client, out: Output, args: argparse.Namespace, held: Claim) -> int:
    """Say what came of a claim and return the exit status."""
    status = 0 if held["state"] in ("pending", "active") else 1
    if held["state"] == "active":
        boards = " and ".join(held["boards"])
        verb = "is" if len(held["boards"]) == 1 else "are"
        out.line(
            f"{boards} {verb} yours for {seconds_text(held['ttl'] or 0)}: claim {held['name'] or held['id']}"
        )
        if args.image:
            wait = args.wait is not None
            status = max(_installing(client, out, held, board, wait=wait) for board in held["boards"])
    elif held["state"] == "pending":
        out.line(f"claim {held['name'] or held['id']}: {place_text(held)}")
    else:
        out.line(f"claim {held['id']} is {held['state']} {held['reason']}".rstrip())
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


def _wait_in_queue(client: Client, out: Output, held: Claim, seconds: float | None, *, alive: bool) -> Claim:
    """Wait for a claim's boards; one that gets none in time is withdrawn."""
    if held["state"] != "pending":
        return held
    named = held["name"] or held["id"]
    advice = f"look with `hostler show {named}`; leave the queue with `hostler release {named}`"
    try:
        with queue_line(out) as line:
            return wait_claim(client, held["id"], seconds=seconds or _QUEUE_SECONDS, seen=line.show)
    except DeadlineError:
        client.release(held["id"])
        told = f"the boards did not become free within {seconds_text(seconds or _QUEUE_SECONDS)}"
        raise DeadlineError(f"{told}; the claim is withdrawn") from None
    except KeyboardInterrupt:
        if alive:
            raise
        with going_on("the claim", advice):
            raise


def _claims_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="those that have ended, too")


def claims(args: argparse.Namespace, out: Output) -> int:
    """Print the claims."""
    with Client() as client:
        found = client.claims("all" if args.all else "open")
    if out.json:
        out.document(found)
    out.table(
        ("claim", "name", "principal", "project", "wants", "boards", "state", "since", "until"),
        [
            (
                c["id"],
                c["name"],
                c["principal"],
                c["project"],
                wants_text(c["wants"]),
                " ".join(c["boards"]),
                f"{c['state']} ({c['position']})" if c["position"] else c["state"],
                _clock(c["granted"] or c["created"]),
                _end(c),
            )
            for c in found
        ],
        "no claims",
    )
    return 0


def wants_text(wants: list[Want]) -> str:
    """Return what is wanted in few words, such as ``2 pi4, arch=arm64``."""
    words = []
    for one in wants:
        parts = [one.get("board") or one.get("class") or "", *one.get("labels", [])]
        words.append(",".join(part for part in parts if part))
    counted = {word: words.count(word) for word in words}
    return ", ".join(word if count == 1 else f"{count} {word}" for word, count in counted.items())


def _clock(text: str | None) -> str:
    then = moment(text)
    return f"{then.astimezone():%m-%d %H:%M}" if then is not None else ""


def _end(claim: Claim) -> str:
    if claim["state"] == "closed":
        return claim["reason"]
    if claim["state"] == "pending":
        return estimate_text(claim) or ("" if claim["position"] else place_text(claim))
    if claim["state"] == "releasing":
        return BEING_WIPED
    return until(claim["expires"])


def _release_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claim", metavar="CLAIM", help="its id or name")
    wait_arguments(parser)


def release(args: argparse.Namespace, out: Output) -> int:
    """Release a claim and wait until its boards are clean."""
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
