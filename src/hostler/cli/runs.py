"""Verbs that work on a board: deploy, run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.first_boot import add_first_boot_arguments, first_boot
from hostler.cli.install_target import add_target_arguments, target
from hostler.cli.waits import run_status, wait_arguments, watch_run
from hostler.client.client import Client
from hostler.client.documents import ENDED
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Run


def _deploy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument("image", metavar="IMAGE")
    _set_argument(parser)
    add_target_arguments(parser)
    add_first_boot_arguments(parser)
    _dry_argument(parser)
    wait_arguments(parser)


def deploy(args: argparse.Namespace, out: Output) -> int:
    """Get a board to run an image, from its disk or over the network, and wait until it does."""
    told = first_boot(args)
    with Client() as client:
        run = client.deploy(args.board, args.image, _metadata(args), told, target(args), dry_run=args.dry_run)
        return _follow(client, out, run, args)


def _set_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="metadata for the image's templates"
    )


def _dry_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only tell whether it could be done")


def _metadata(args: argparse.Namespace) -> dict[str, str]:
    wrong = [word for word in args.set if not word.partition("=")[1]]
    if wrong:
        raise ClientError(f'"{wrong[0]}" is not KEY=VALUE', "write for example --set disk=/dev/nvme0n1")
    return dict(word.split("=", 1) for word in args.set)


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument(
        "plan",
        metavar="STEP[,STEP…]",
        nargs="?",
        help="steps: discover, wipe, install:IMAGE, capture:NAME, boot, live:IMAGE",
    )
    _set_argument(parser)
    add_target_arguments(parser)
    parser.add_argument("--cancel", action="store_true", help="call the board's run off")
    _dry_argument(parser)
    wait_arguments(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Carry out a plan and wait for its end, or call the present run off."""
    with Client() as client:
        if not args.cancel:
            if args.plan is None:
                out.note("hostler: say what to do, for example wipe,install:debian,boot")
                return 2
            started = client.start_run(
                args.board, args.plan, _metadata(args), target(args), dry_run=args.dry_run
            )
            return _follow(client, out, started, args)
        present = client.board(args.board)["run"]
        if present is None or present["state"] in ENDED:
            raise ClientError(f"no run is active on {args.board}", "`hostler boards` shows the runs")
        cancelled = client.cancel_run(present["id"])
        if not args.no_wait:
            cancelled = watch_run(client, out, cancelled, args.timeout)
    if out.json:
        out.document(cancelled)
    return 0


def _follow(client: Client, out: Output, started: Run, args: argparse.Namespace) -> int:
    if args.dry_run:
        if out.json:
            out.document(started)
        out.line(f"it could be done: {', '.join(started['steps'])}")
        return 0
    if args.no_wait:
        if out.json:
            out.document(started)
        out.line(f"run {started['id']} is {started['state']}; look with `hostler show {started['board']}`")
        return 0
    ended = watch_run(client, out, started, args.timeout)
    if out.json:
        out.document(ended)
    return run_status(out, ended)


VERBS = {"deploy": (_deploy_arguments, deploy), "run": (_run_arguments, run)}
