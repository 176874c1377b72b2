"""Verbs about the inventory: apply."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output


def _apply_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="lab.toml", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="only tell what would change")


def apply(args: argparse.Namespace, out: Output) -> int:
    """Make a file the inventory and print what changed."""
    try:
        text = args.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"cannot read {args.file}: {error}") from None
    with Client() as client:
        changes = client.apply(text, dry_run=args.dry_run)
    if out.json:
        out.document(changes)
    for change in changes["changes"]:
        detail = f": {change['detail']}" if change["detail"] else ""
        out.line(f"{change['change']} {change['what']} {change['name']}{detail}")
    if not changes["changes"]:
        out.line("nothing changes")
    elif args.dry_run:
        out.line("nothing was changed: this was a dry run")
    return 0


VERBS = {"apply": (_apply_arguments, apply)}
