"""The options of deploy that say what a disk image is told before its first boot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.client.documents import FirstBoot


def add_first_boot_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("first boot of a disk image")
    group.add_argument(
        "--hostname",
        metavar="NAME",
        nargs="?",
        const="",
        help="the system's name (without NAME: the board's)",
    )
    group.add_argument("--ssh-keys", action="store_true", help="let in the ssh keys that log you in here")
    group.add_argument("--user", metavar="NAME", default="", help="whose account gets the keys")
    group.add_argument(
        "--file",
        metavar="PATH=FILE",
        action="append",
        default=[],
        help="write a file of yours into the system",
    )
    group.add_argument(
        "--network", metavar="FILE", help="network configuration as JSON, in cloud-init's version 2"
    )
    group.add_argument(
        "--first-boot",
        choices=("auto", "seed", "files"),
        default="auto",
        help="how it is told: by a seed for cloud-init, by files in its root file system, or as the image "
        "allows (default)",
    )


def first_boot(args: argparse.Namespace) -> FirstBoot | None:
    """Return what the options say, or None if none was given; raises ClientError."""
    given = args.ssh_keys or args.user or args.file or args.network or args.first_boot != "auto"
    if args.hostname is None and not given:
        return None
    return {
        "hostname": args.hostname,
        "own_keys": args.ssh_keys,
        "user": args.user,
        "files": dict(map(_file, args.file)),
        "network": _network(args.network) if args.network else None,
        "way": args.first_boot,
    }


def _file(word: str) -> tuple[str, str]:
    path, equals, source = word.partition("=")
    if not equals or not source:
        raise ClientError(f'"{word}" is not PATH=FILE', "write for example --file /etc/motd=motd.txt")
    return path, _text(source)


def _network(source: str) -> dict[str, object]:
    try:
        document = json.loads(_text(source))
    except ValueError as error:
        raise ClientError(f"{source} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ClientError(f"{source} is no network configuration", "it begins with {")
    return document


def _text(source: str) -> str:
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ClientError(f"cannot read {source}: {why}") from None
