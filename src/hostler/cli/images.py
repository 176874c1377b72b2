"""The verb image: import, list, show, rm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.progress import progress
from hostler.cli.words import local_time, size_text
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Image, ImportProgress


def _image_arguments(parser: argparse.ArgumentParser) -> None:
    # An absent --json here must not undo one given before the sub-verb.
    import argparse as names

    verbs = parser.add_subparsers(dest="action", required=True, metavar="import|list|show|rm")
    add = verbs.add_parser("import", help="import a disk image: raw, gzip, xz or zstd", allow_abbrev=False)
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "source", metavar="FILE|URL", help="a file of this machine, or an address the server fetches"
    )
    add.add_argument("--arch", required=True, choices=("amd64", "arm64"))
    add.add_argument(
        "--platforms", required=True, metavar="P[,P…]", help="what it boots on, such as x86-bios,x86-uefi"
    )
    add.add_argument(
        "--done-console", metavar="REGEX", help="what its console shows when it has booted (default: login:)"
    )
    add.add_argument("--done-seconds", type=float, metavar="N", help="longest time until then")
    show = verbs.add_parser("show", help="everything about an image", allow_abbrev=False)
    show.add_argument("name", metavar="NAME")
    listing = verbs.add_parser("list", help="every image", allow_abbrev=False)
    remove = verbs.add_parser("rm", help="remove an image", allow_abbrev=False)
    remove.add_argument("name", metavar="NAME")
    for verb in (add, show, listing, remove):
        verb.add_argument("--json", action="store_true", default=names.SUPPRESS)


def image(args: argparse.Namespace, out: Output) -> int:
    """Carry out the sub-verb."""
    with Client() as client:
        if args.action == "import":
            return _import(client, args, out)
        if args.action == "list":
            return _list(client, out)
        if args.action == "show":
            _show(client.image(args.name), out)
            return 0
        client.remove_image(args.name)
    if out.json:
        out.document({"removed": args.name})
    out.line(f"image {args.name} removed")
    return 0


def _import(client: Client, args: argparse.Namespace, out: Output) -> int:
    with progress(live=out.live, quiet=out.json) as view:

        def seen(now: ImportProgress) -> None:
            # Bytes out are known only once the server reads; until then this is the upload.
            view.bytes(args.name, "storing" if now["out"] else "reading", now["read"], now["of"])

        remote = args.source.startswith(("http://", "https://"))
        try:
            made = client.import_image(
                args.name,
                args.source if remote else Path(args.source),
                arch=args.arch,
                platforms=args.platforms.split(","),
                done_console=args.done_console,
                done_seconds=args.done_seconds,
                progress=seen,
            )
        except OSError as error:
            raise ClientError(f"cannot read {args.source}: {error.strerror or error}") from None
    if out.json:
        out.document(made)
    out.line(f"image {made['name']}: {size_text(made['size'])}, {size_text(made['data_bytes'])} of it data")
    return 0


def _list(client: Client, out: Output) -> int:
    found = client.images()
    if out.json:
        out.document(found)
    out.table(
        ("image", "arch", "platforms", "size", "data", "created"),
        [
            (
                image["name"],
                image["arch"],
                ",".join(image["platforms"]),
                size_text(image["size"]),
                size_text(image["data_bytes"]),
                local_time(image["created"]),
            )
            for image in found
        ],
        "no images; `hostler image import` adds one",
    )
    return 0


def _show(image: Image, out: Output) -> None:
    if out.json:
        out.document(image)
        return
    done = image["done"]
    out.pairs(
        [
            ("image", image["name"]),
            ("arch", image["arch"]),
            ("platforms", ", ".join(image["platforms"])),
            ("size", f"{size_text(image['size'])}, {size_text(image['data_bytes'])} of it data"),
            ("chunks", f"of {size_text(image['chunk_size'])}, index {image['index']}"),
            ("booted", f'when "{done["console"]}" shows on the console within {done["seconds"]:.0f} s'),
            ("created", local_time(image["created"])),
            ("source", image["source"]),
        ]
    )  # fmt: skip


VERBS = {"image": (_image_arguments, image)}
