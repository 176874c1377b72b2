"""Verbs about networks: networks, leases, dhcp-lines."""

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


def networks(args: argparse.Namespace, out: Output) -> int:
    """Print the networks of the lab."""
    _ = args
    with Client() as client:
        rows = client.networks()
    if out.json:
        out.document(rows)
    out.table(
        ("network", "dhcp", "subnet", "server", "through", "range", "router", "ipv6"),
        [
            (
                row["name"], row["dhcp"], row["subnet"], row["server"], row["relayed"] or "",
                row["range"] or "", row["router"] or "", row["subnet6"] or "",
            )
            for row in rows
        ],
        "no networks; write a lab.toml and `hostler apply` it",
    )  # fmt: skip
    return 0


_KINDS = ("isc", "kea", "dnsmasq", "windows", "mikrotik")


def _lines_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="NETWORK", nargs="?", help="may be left out if there is only one")
    parser.add_argument("--for", dest="kind", choices=_KINDS, required=True, help="the other server")


def dhcp_lines(args: argparse.Namespace, out: Output) -> int:
    """Print what another DHCP server is to have in its configuration."""
    with Client() as client:
        known = {row["name"]: row["dhcp"] for row in client.networks()}
        if args.network is None and len(known) != 1:
            out.note(f"hostler: say which network: {', '.join(known) or 'there is none yet'}")
            return 2
        name = args.network or next(iter(known))
        text = client.dhcp_lines(name, args.kind)
    if out.json:
        out.document({"network": name, "kind": args.kind, "text": text})
    out.line(text.rstrip("\n"))
    if known.get(name, "off") != "off":
        out.note(f'hostler: network {name} has dhcp = "{known[name]}"; these lines are for dhcp = "off"')
    return 0


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    _ = parser


VERBS = {
    "networks": (_no_arguments, networks),
    "leases": (_leases_arguments, leases),
    "dhcp-lines": (_lines_arguments, dhcp_lines),
}
