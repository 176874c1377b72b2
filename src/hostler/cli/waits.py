"""Wait for a run or a release and show it; an interrupt stops the waiting, never the work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hostler.cli.progress import progress
from hostler.cli.words import duration
from hostler.client.errors import ClientError, DeadlineError
from hostler.client.waiting import wait_release, wait_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hostler.cli.output import Output
    from hostler.client.claim_calls import Claim
    from hostler.client.client import Client
    from hostler.client.documents import Board, Run

TIMEOUT = "2h"


class StoppedWaitingError(ClientError):
    """The person did not want to wait any longer; the server goes on."""


def wait_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-wait`` and ``--timeout``."""
    parser.add_argument("--no-wait", action="store_true", help="start it and return at once")
    parser.add_argument(
        "--timeout", type=duration, default=TIMEOUT, metavar="TIME", help=f"longest wait (default {TIMEOUT})"
    )


@contextmanager
def going_on(what: str, advice: str) -> Iterator[None]:
    """Turn an interrupt or a deadline inside the block into an error that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedWaitingError(f"stopped waiting; {what} goes on", advice) from None
    except DeadlineError as error:
        raise DeadlineError(f"{error}; {what} goes on", advice) from None


def watch_run(client: Client, out: Output, run: Run, timeout: float) -> Run:
    """Wait for a run with live progress and return it as it ended."""
    board = run["board"]
    advice = f"look with `hostler show {board}`; call it off with `hostler run {board} --cancel`"
    with going_on(f"the run on {board}", advice), progress(live=out.live, quiet=out.json) as view:
        return wait_run(client, run["id"], seconds=timeout, seen=lambda now: view.run(board, now))


def run_status(out: Output, run: Run) -> int:
    """Return the exit status of a run that has ended; why it failed goes to stderr."""
    if run["state"] == "succeeded":
        return 0
    out.note(f"hostler: {run['plan']} on {run['board']} {run['state'].replace('_', ' ')}: {run['error']}")
    for line in run["log"]:
        out.note(f"  | {line}")
    out.note(f"  look with `hostler trace {run['board']}` and `hostler console {run['board']} --follow`")
    return 1


def finish_release(client: Client, out: Output, claim: Claim, timeout: float) -> int:
    """Wait until a claim's board is clean again; return the exit status."""
    advice = f"look with `hostler show {claim['id']}`"

    with going_on(f"the release of {claim['id']}", advice), progress(live=out.live, quiet=out.json) as view:

        def seen(board: Board) -> None:
            if board["run"] is not None:
                view.run(board["name"], board["run"])

        closed, boards = wait_release(client, claim["id"], seconds=timeout, seen=seen)
    if out.json:
        out.document(closed)
    if not boards:
        out.line(f"claim {closed['id']} closed: {closed['reason']}")
    for board in boards:
        name = board["name"]
        trouble = closed["unclean"].get(name)
        if trouble is None:
            state = board["lifecycle"] if board["claim"] is None else "available"  # somebody has it already
            out.line(f"{name} is {state}, power {board['power']['observed']}")
            continue
        out.note(f"hostler: {name} did not come back clean: {board['reason'] or trouble}")
        out.note(f"  look with `hostler trace {name}`; try again with `hostler recover {name}`")
    return 1 if closed["unclean"] else 0
