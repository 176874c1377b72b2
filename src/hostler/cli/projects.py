"""The verb project: on whose account boards are held, and who belongs to it."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from hostler.cli.principals import ROLES
from hostler.client.client import Client

if TYPE_CHECKING:
    from hostler.cli.output import Output
    from hostler.client.access_calls import Project


def quota(text: str) -> tuple[str, int | None]:
    """Read ``rpi4=3`` (``*=10``: of all classes together, ``rpi4=none``: no limit); an argparse type."""
    board_class, _, number = text.rpartition("=")
    if board_class and number == "none":
        return board_class, None
    if not board_class or not number.isascii() or not number.isdigit():
        raise argparse.ArgumentTypeError(f'"{text}" is no quota; write CLASS=N, *=N or CLASS=none')
    return board_class, int(number)


def weight(text: str) -> float:
    """Read a number; an argparse type. JSON has no word for what is none, such as ``nan``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f'"{text}" is no weight; write for example 2 or 0.5')
    return value


def _project_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", required=True, metavar="add|list|show|set|member|remove")
    add = verbs.add_parser("add", help="make a project", allow_abbrev=False)
    listing = verbs.add_parser("list", help="your projects; an admin's are all", allow_abbrev=False)
    show = verbs.add_parser("show", help="one project and its members", allow_abbrev=False)
    change = verbs.add_parser("set", help="change its part of the lab", allow_abbrev=False)
    member = verbs.add_parser("member", help="say what somebody is in it", allow_abbrev=False)
    remove = verbs.add_parser("remove", help="take a project away", allow_abbrev=False)
    for verb in (add, show, change, member, remove):
        verb.add_argument("name", metavar="PROJECT")
    for verb in (add, change):
        verb.add_argument(
            "--weight", type=weight, metavar="W", help="its part of a lab too small for all: 2 is twice 1"
        )
        verb.add_argument(
            "--priority", type=int, metavar="P", help="the highest priority its claims may have"
        )
        verb.add_argument(
            "--quota", type=quota, action="append", default=[], metavar="CLASS=N",
            help="most boards it may hold at once: of a class, '*=N' of all, CLASS=none without limit",
        )  # fmt: skip
    member.add_argument("who", metavar="USER")
    member.add_argument("role", choices=(*ROLES, "none"), help="none: they belong to it no more")
    for verb in (add, listing, show, change, member, remove):
        # One that is absent here must not undo one given before the sub-verb.
        verb.add_argument("--json", action="store_true", default=argparse.SUPPRESS)


def project(args: argparse.Namespace, out: Output) -> int:
    """Carry out the sub-verb."""
    with Client() as client:
        if args.action == "list":
            return _list(client.projects(), out)
        if args.action == "remove":
            client.remove_project(args.name)
            if out.json:
                out.document({"removed": args.name})
            out.line(f"project {args.name} removed")
            return 0
        if args.action == "member" and args.role == "none":
            client.remove_member(args.name, args.who)
        elif args.action == "member":
            client.set_member(args.name, args.who, args.role)
        elif args.action == "set":
            terms = {"weight": args.weight, "priority": args.priority, "quotas": dict(args.quota) or None}
            client.change_project(args.name, **terms)
        elif args.action == "add":
            limits = {name: limit for name, limit in args.quota if limit is not None}
            client.add_project(args.name, weight=args.weight, priority=args.priority, quotas=limits)
        found = client.project(args.name)
    if out.json:
        out.document(found)
    out.pairs(
        [
            ("name", found["name"]),
            ("weight", f"{found['weight']:g}"),
            ("priority", str(found["priority"])),
            ("quotas", _quotas(found)),
            ("members", ", ".join(f"{who} ({role})" for who, role in found["members"].items())),
        ]
    )
    return 0


def _list(found: list[Project], out: Output) -> int:
    if out.json:
        out.document(found)
    rows = [
        (one["name"], f"{one['weight']:g}", str(one["priority"]), _quotas(one), str(len(one["members"])))
        for one in found
    ]
    out.table(("name", "weight", "priority", "quotas", "members"), rows, "you belong to no project")
    return 0


def _quotas(one: Project) -> str:
    return ", ".join(f"{name}={limit}" for name, limit in sorted(one["quotas"].items()))


VERBS = {"project": (_project_arguments, project)}
