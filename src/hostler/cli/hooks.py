"""The verb hook: where the server tells what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.words import until
from hostler.client.client import Client

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.care import Hook


def _hook_arguments(parser: argparse.ArgumentParser) -> None:
    # An absent --json here must not undo one given before the sub-verb.
    import argparse as names

    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|remove|test")
    add = actions.add_parser("add", help="have events posted to an address from now on", allow_abbrev=False)
    add.add_argument("url", metavar="URL", help="http:// or https://")
    add.add_argument(
        "--kind", action="append", default=[], metavar="PATTERN",
        help="only these kinds, such as 'claim.*' (may be repeated; default: all but what boots look like)",
    )  # fmt: skip
    add.add_argument(
        "--secret", default="", metavar="env:NAME",
        help="where the server finds the key that signs what it posts: env:NAME or file:PATH",
    )  # fmt: skip
    listing = actions.add_parser("list", help="the hooks and how far each has come", allow_abbrev=False)
    remove = actions.add_parser("remove", help="tell it nothing more", allow_abbrev=False)
    test = actions.add_parser("test", help="tell it something now", allow_abbrev=False)
    for verb in (remove, test):
        verb.add_argument("hook", metavar="HOOK")
    for verb in (add, listing, remove, test):
        verb.add_argument("--json", action="store_true", default=names.SUPPRESS)


def hook(args: argparse.Namespace, out: Output) -> int:
    """Add, list, remove or test hooks."""
    with Client() as client:
        if args.action == "list":
            return _list(client.hooks(), out)
        if args.action == "add":
            added = client.add_hook(args.url, args.kind, args.secret)
            if out.json:
                out.document(added)
            out.line(f"hook {added['id']} is told from now on; try it with `hostler hook test {added['id']}`")
            return 0
        if args.action == "remove":
            client.remove_hook(args.hook)
            if out.json:
                out.document({})
            return 0
        came = client.test_hook(args.hook)
    if out.json:
        out.document(came)
    out.line(f"{'ok' if came['ok'] else 'FAILED'}: {came['text']}, after {came['seconds']:g} s")
    return 0 if came["ok"] else 1


def _list(hooks: list[Hook], out: Output) -> int:
    if out.json:
        out.document(hooks)
    out.table(
        ("hook", "tells", "kinds", "last told", "behind", "trouble"),
        [
            (
                hook["id"], hook["url"] or " ".join(hook["command"]), " ".join(hook["kinds"]) or "all",
                until(hook["told_at"]), _behind(hook), hook["error"],
            )
            for hook in hooks
        ],
        "no hooks; add one with `hostler hook add URL`",
    )  # fmt: skip
    return 0


def _behind(hook: Hook) -> str:
    lost = f"{hook['given_up']} given up" if hook["given_up"] else ""
    if not hook["trying_since"]:
        return lost
    waits = f"{hook['behind']} events, since {until(hook['trying_since']).removesuffix(' ago')}"
    return f"{waits}, {lost}" if lost else waits


VERBS = {"hook": (_hook_arguments, hook)}
