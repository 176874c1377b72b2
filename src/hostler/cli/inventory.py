"""Verbs about the inventory: apply."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.cli.words import plain
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Change, Changes

STANDARD_INPUT = "<stdin>"
"""What standard input is called where a mistake in it is told."""

_NAME_LENGTH = 1000
"""The server takes no longer name; of a longer path the end tells more."""


def _apply_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="lab.toml", help="the file; - reads standard input")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would change")
    parser.add_argument("--yes", action="store_true", help="do not ask, on a terminal either")


def apply(args: argparse.Namespace, out: Output) -> int:
    """Print what a file changes, ask on a terminal, and make it the inventory."""
    text, name = _read(args.file)
    with Client() as client:
        planned = client.apply(text, file=name, dry_run=True)
        print_changes(planned["changes"], out)
        if args.dry_run:
            if out.json:
                out.document(planned)
            elif planned["changes"]:
                out.line("nothing was changed: this was a dry run")
            return 0
        if planned["changes"] and not args.yes and not _agreed(planned, out):
            return 1
        # Only what was shown is applied: somebody else may have changed the lab while a person read.
        applied = client.apply(text, file=name, base=planned["base"])
    if out.json:
        out.document(applied)
    return 0


def print_changes(changes: list[Change], out: Output) -> None:
    """Print differences between two inventories, each with its keys: old and new values."""
    for change in changes:
        out.line(f"{change['change']} {change['what']} {change['name']}")
        for one in change["keys"]:
            if change["change"] == "add":
                told = _value(one["new"])
            elif change["change"] == "remove":
                told = _value(one["old"])
            else:
                told = f"{_value(one['old'])} → {_value(one['new'])}"
            out.line(f"  {one['key']}: {told}")
    if not changes:
        out.line("nothing changes")


def _agreed(planned: Changes, out: Output) -> bool:
    """Ask, where there is somebody to ask; programs have decided."""
    if out.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    many = len(planned["changes"])
    try:
        answer = input(f"Apply {'this change' if many == 1 else f'these {many} changes'} (yes/no)? ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("yes", "y"):
        return True
    out.note("hostler: nothing was changed")
    return False


def _read(file: str) -> tuple[str, str]:
    """Return a file's text, and the name its mistakes are told with."""
    try:
        if file == "-":
            return sys.stdin.buffer.read().decode(), STANDARD_INPUT
        return Path(file).read_text(encoding="utf-8"), plain(file)[-_NAME_LENGTH:]
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"cannot read {file}: {error}") from None


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if value < 1e6 else f"{value:.0f}"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
    return str(value)


VERBS = {"apply": (_apply_arguments, apply)}
