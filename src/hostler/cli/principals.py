"""The verb principal: who may ask, and in which role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.words import local_time
from hostler.client.client import Client

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.access_calls import Principal

ROLES = ("admin", "member", "viewer")


def _principal_arguments(parser: argparse.ArgumentParser) -> None:
    # An absent --json here must not undo one given before the sub-verb.
    import argparse as names

    verbs = parser.add_subparsers(
        dest="action", required=True, metavar="add|list|show|role|disable|enable|link|remove"
    )
    add = verbs.add_parser("add", help="let somebody in: a person or a machine", allow_abbrev=False)
    listing = verbs.add_parser("list", help="everybody you may know of", allow_abbrev=False)
    show = verbs.add_parser("show", help="one of them", allow_abbrev=False)
    role = verbs.add_parser("role", help="give somebody another role in the lab", allow_abbrev=False)
    disable = verbs.add_parser(
        "disable", help="shut somebody out; open consoles and sessions of theirs end", allow_abbrev=False
    )
    enable = verbs.add_parser("enable", help="let somebody in again", allow_abbrev=False)
    link = verbs.add_parser(
        "link", help="say who somebody is at the lab's OpenID Connect provider", allow_abbrev=False
    )
    remove = verbs.add_parser("remove", help="let somebody in no more", allow_abbrev=False)
    for verb in (add, show, role, disable, enable, link, remove):
        verb.add_argument("name", metavar="USER")
    add.add_argument("--role", choices=ROLES, default="member", help="in the whole lab (default: member)")
    role.add_argument("role", choices=ROLES)
    link.add_argument("sub", metavar="SUBJECT", help="as the provider calls them; '' for nobody any more")
    for verb in (add, listing, show, role, disable, enable, link, remove):
        verb.add_argument("--json", action="store_true", default=names.SUPPRESS)


def principal(args: argparse.Namespace, out: Output) -> int:
    """Carry out the sub-verb."""
    with Client() as client:
        if args.action == "list":
            return _list(client.principals(), out)
        if args.action == "remove":
            client.remove_principal(args.name)
            if out.json:
                out.document({"removed": args.name})
            out.line(f"{args.name} is let in no more")
            return 0
        if args.action == "add":
            found = client.add_principal(args.name, args.role)
        elif args.action == "show":
            found = client.principal(args.name)
        elif args.action == "role":
            found = client.change_principal(args.name, role=args.role)
        elif args.action == "link":
            found = client.link_principal(args.name, args.sub)
        else:
            found = client.change_principal(args.name, disabled=args.action == "disable")
    if out.json:
        out.document(found)
    out.pairs(
        [
            ("name", found["name"]),
            ("role", found["role"]),
            ("projects", _projects(found)),
            ("disabled", "yes" if found["disabled"] else ""),
            ("since", local_time(found["created"])),
        ]
    )
    if found["token"]:
        out.line(f"Their token, shown only this once:\n  {found['token']}")
    return 0


def _list(found: list[Principal], out: Output) -> int:
    if out.json:
        out.document(found)
    rows = [
        (one["name"], one["role"], _projects(one), "disabled" if one["disabled"] else "") for one in found
    ]
    out.table(("name", "role", "projects", ""), rows, "nobody")
    return 0


def _projects(one: Principal) -> str:
    return ", ".join(f"{project['name']} ({project['role']})" for project in one["projects"])


VERBS = {"principal": (_principal_arguments, principal)}
