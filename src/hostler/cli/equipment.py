"""The verb equipment: switches, PDUs and serial servers, and who is on their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostler.client.client import Client

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="show the front of this one")


def equipment(args: argparse.Namespace, out: Output) -> int:
    """Print the lab's equipment, or what hangs on the ends of one."""
    with Client() as client:
        if args.name is not None:
            return _panel(client.panel(args.name), out)
        rows = client.equipment()
    if out.json:
        out.document(rows)
    out.table(
        ("name", "driver", "boards"),
        [(row["name"], row["driver"], str(row["boards"])) for row in rows],
        "no equipment; boards have wires of their own, or none",
    )
    return 0


def _panel(panel: dict[str, Any], out: Output) -> int:
    if out.json:
        out.document(panel)
    for pool in panel["pools"]:
        limit = f" of {pool['limit']:g} W" if pool["limit"] is not None else " W"
        drawn = f"{pool['drawn']:g}" if pool["drawn"] is not None else "an unknown part"
        out.line(f"{pool['pool']}: {drawn}{limit}")
    out.table(
        ("end", "for", "board", "held by", "power", "W", "link", "vlan", "heard"),
        [_row(end) for end in panel["ends"]],
        "nothing hangs on it",
    )
    if panel["trouble"]:
        out.note(f"hostler: {panel['trouble']}")
        return 1
    return 0


def _row(end: dict[str, Any]) -> tuple[str, ...]:
    boards = end["boards"]
    strangers = end["stranger_count"]
    heard = [*end["heard"], *end["strangers"][:2], *([f"{strangers - 2} more"] if strangers > 2 else [])]
    vlans = [str(end["pvid"] or ""), *(f"{vlan}t" for vlan in end["tagged"])]
    return (
        end["place"],
        end["kind"],
        " ".join(board["name"] for board in boards),
        " ".join(board["claim"]["principal"] for board in boards if board["claim"]),
        _state(end),
        "" if end["watts"] is None else f"{end['watts']:.1f}",
        {True: "up", False: "down", None: ""}[end["link"]],
        " ".join(word for word in vlans if word),
        " ".join(heard),
    )


def _state(end: dict[str, Any]) -> str:
    if end["kind"] == "console":
        return {True: "connected", False: "not connected", None: ""}[end["connected"]]
    if end["state"] is None:
        return ""
    detail = end["detail"]
    return f"{end['state']} ({detail})" if detail and detail != end["state"] else str(end["state"])


VERBS = {"equipment": (_arguments, equipment)}
