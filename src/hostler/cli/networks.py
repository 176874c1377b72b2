"""Verbs about networks: leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.words import until
from hostler.client.client import Client

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output


def _leases_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD", nargs="?", help="only those of this board")
    parser.add_argument("--network", metavar="NAME", help="only those on this network")


def leases(args: argparse.Namespace, out: Output) -> int:
    """Print which addresses are given to whom, and until when."""
    with Client() as client:
        rows = client.leases(args.board, args.network)
    if out.json:
        out.document(rows)
    out.table(
        ("address", "board", "mac", "network", "kind", "state", "ends"),
        [
            (
                row["address"], row["board"] or "", row["mac"] or "", row["network"], row["kind"],
                row["state"], until(row["expires"]),
            )
            for row in rows
        ],
        "no addresses are given away",
    )  # fmt: skip
    return 0


VERBS = {"leases": (_leases_arguments, leases)}
