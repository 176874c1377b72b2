"""The verbs token and key: with what one logs in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.principals import ROLES
from hostler.cli.words import local_time, until
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    from hostler.cli.output import Output
    from hostler.client.access_calls import Key, Token

_USUAL_KEYS = ("id_ed25519.pub", "id_ed25519_sk.pub", "id_ecdsa.pub", "id_ecdsa_sk.pub", "id_rsa.pub")
_KEY_BYTES = 64 * 1024  # a public key has some hundred


def _token_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", required=True, metavar="add|list|revoke")
    add = verbs.add_parser("add", help="make a token; it is shown once", allow_abbrev=False)
    add.add_argument("name", metavar="NAME", nargs="?", default="", help="what it is for")
    add.add_argument("--expires", metavar="TIME", help="when it ends: 30d, 8h, 2030-01-31 (default: never)")
    add.add_argument("--role", choices=ROLES, help="the most it may do (default: what you may)")
    add.add_argument("--project", metavar="PROJECT", help="the only project it may act for")
    add.add_argument("--once", action="store_true", help="its first use is its last, as for an invitation")
    add.add_argument("--for", dest="owner", metavar="USER", help="whose it is to be (admins)")
    listing = verbs.add_parser("list", help="your tokens", allow_abbrev=False)
    listing.add_argument("--of", metavar="USER", help="of somebody else, '*' for everybody (admins)")
    listing.add_argument("--ended", action="store_true", help="also those that ended in the last 30 days")
    revoke = verbs.add_parser("revoke", help="end a token now", allow_abbrev=False)
    revoke.add_argument("token", metavar="TOKEN", help="its id, or the name of one of yours")
    for verb in (add, listing, revoke):
        # One that is absent here must not undo one given before the sub-verb.
        verb.add_argument("--json", action="store_true", default=argparse.SUPPRESS)


def token(args: argparse.Namespace, out: Output) -> int:
    """Carry out the sub-verb."""
    with Client() as client:
        if args.action == "list":
            return _list_tokens(client.tokens(args.of, ended=args.ended), out)
        if args.action == "revoke":
            client.revoke_token(args.token)
            if out.json:
                out.document({"revoked": args.token})
            out.line(f"token {args.token} is revoked")
            return 0
        made = client.add_token(
            args.name, expires=args.expires, role=args.role, project=args.project, once=args.once or None,
            owner=args.owner,
        )  # fmt: skip
    if out.json:
        out.document(made)
    out.line(f"Token {made['id']} of {made['principal']}, shown only this once:\n  {made['token']}")
    return 0


def _list_tokens(found: list[Token], out: Output) -> int:
    if out.json:
        out.document(found)
    rows = [
        (
            one["id"], one["principal"], one["name"], _limits(one), local_time(one["created"]),
            until(one["expires"]) if one["expires"] else "never", local_time(one["used"])[:13], one["state"],
        )
        for one in found
    ]  # fmt: skip
    out.table(("id", "of", "name", "only", "made", "ends", "last used", "state"), rows, "no tokens")
    return 0


def _limits(one: Token) -> str:
    words = [one["role"] or "", f"project {one['project']}" if one["project"] else ""]
    return ", ".join(word for word in (*words, "once" if one["once"] else "") if word)


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", required=True, metavar="add|list|remove")
    add = verbs.add_parser("add", help="let an ssh key log you in", allow_abbrev=False)
    add.add_argument(
        "file", metavar="FILE", nargs="?",
        help="the public key, - for standard input (default: ~/.ssh/id_ed25519.pub or its like)",
    )  # fmt: skip
    add.add_argument("--name", default="", help="what you call it (default: the key's comment)")
    add.add_argument("--for", dest="owner", metavar="USER", help="whose key it is (admins)")
    listing = verbs.add_parser("list", help="your keys", allow_abbrev=False)
    listing.add_argument("--of", metavar="USER", help="of somebody else, '*' for everybody (admins)")
    remove = verbs.add_parser("remove", help="let a key log you in no more", allow_abbrev=False)
    remove.add_argument("key", metavar="KEY", help="its fingerprint, or the name of one of yours")
    for verb in (add, listing, remove):
        verb.add_argument("--json", action="store_true", default=argparse.SUPPRESS)


def key(args: argparse.Namespace, out: Output) -> int:
    """Carry out the sub-verb."""
    text = _public_key(args.file) if args.action == "add" else ""
    with Client() as client:
        if args.action == "list":
            return _list_keys(client.keys(args.of), out)
        if args.action == "remove":
            client.remove_key(args.key)
            if out.json:
                out.document({"removed": args.key})
            out.line(f"key {args.key} logs nobody in any more")
            return 0
        added = client.add_key(text, args.name, args.owner)
    if out.json:
        out.document(added)
    out.line(f"{added['fingerprint']} logs {added['principal']} in")
    return 0


def _public_key(file: str | None) -> str:
    if file == "-":
        return sys.stdin.read(_KEY_BYTES).strip()
    directory = Path("~/.ssh").expanduser()
    path = (
        Path(file) if file else next((directory / n for n in _USUAL_KEYS if (directory / n).exists()), None)
    )
    if path is None:
        raise ClientError(f"there is no ssh key in {directory}", "make one: ssh-keygen -t ed25519")
    try:
        with path.open(encoding="utf-8") as opened:
            text = opened.read(_KEY_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{path}: {error}") from None
    if "PRIVATE KEY" in text:
        raise ClientError(
            f"{path} is the private key, which stays with you", f"give the public one: {path}.pub"
        )
    return text


def _list_keys(found: list[Key], out: Output) -> int:
    if out.json:
        out.document(found)
    rows = [(one["fingerprint"], one["principal"], one["name"], local_time(one["created"])) for one in found]
    out.table(("fingerprint", "of", "name", "since"), rows, "no keys; add one with: hostler key add")
    return 0


VERBS = {"token": (_token_arguments, token), "key": (_key_arguments, key)}
