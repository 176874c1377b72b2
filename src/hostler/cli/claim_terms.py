"""Verbs that change a claim while it lasts: extend, share, unshare, hand-over, kick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.cli.words import until
from hostler.client.client import Client

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.claim_calls import Claim


def _claim_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claim", metavar="CLAIM", help="its id or name")


def _done(out: Output, claim: Claim, text: str) -> int:
    if out.json:
        out.document(claim)
    out.line(f"claim {claim['name'] or claim['id']}: {text}")
    return 0


def _extend_arguments(parser: argparse.ArgumentParser) -> None:
    _claim_argument(parser)
    parser.add_argument("--by", default="1h", metavar="TIME", help="how much longer (default 1h)")


def extend(args: argparse.Namespace, out: Output) -> int:
    """Let a claim end later."""
    with Client() as client:
        claim = client.extend(args.claim, args.by)
    return _done(out, claim, f"ends {until(claim['expires'])}")


def _share_arguments(parser: argparse.ArgumentParser) -> None:
    _claim_argument(parser)
    parser.add_argument("user", metavar="USER")
    parser.add_argument("--read-only", action="store_true", help="only to look on")


def share(args: argparse.Namespace, out: Output) -> int:
    """Let somebody else use a claim's boards."""
    with Client() as client:
        claim = client.share(args.claim, args.user, "read" if args.read_only else "write")
    what = "look on" if args.read_only else "use its boards"
    return _done(out, claim, f"{args.user} may {what}")


def _claim_and_user(parser: argparse.ArgumentParser) -> None:
    _claim_argument(parser)
    parser.add_argument("user", metavar="USER")


def unshare(args: argparse.Namespace, out: Output) -> int:
    """Take back what was shared."""
    with Client() as client:
        claim = client.unshare(args.claim, args.user)
    return _done(out, claim, f"no longer shared with {args.user}")


def hand_over(args: argparse.Namespace, out: Output) -> int:
    """Make somebody else a claim's owner."""
    with Client() as client:
        claim = client.hand_over(args.claim, args.user)
    return _done(out, claim, f"belongs to {args.user} now")


def _kick_arguments(parser: argparse.ArgumentParser) -> None:
    _claim_argument(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="told to whoever held it")


def kick(args: argparse.Namespace, out: Output) -> int:
    """End somebody's claim at once."""
    with Client() as client:
        claim = client.kick(args.claim, args.reason)
    return _done(out, claim, f"is {claim['state']}: {claim['reason']}")


VERBS = {
    "extend": (_extend_arguments, extend),
    "share": (_share_arguments, share),
    "unshare": (_claim_and_user, unshare),
    "hand-over": (_claim_and_user, hand_over),
    "kick": (_kick_arguments, kick),
}
