"""The verbs of ``image`` about the store: diff, verify, gc, export, shrink, fetch."""

from __future__ import annotations

import io
import sys
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO

from hostler.cli.progress import progress
from hostler.cli.words import size_text
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hostler.cli.output import Output
    from hostler.client.documents import Image, ImportProgress, Share, StoreFault, Swept

ACTIONS = frozenset({"diff", "verify", "gc", "export", "shrink", "fetch"})
_BLOCK = 1024 * 1024
_HOLE = 64 * 1024  # no file system has larger blocks


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Add the verbs; returns their parsers."""
    diff = verbs.add_parser("diff", help="what of image B is not in image A", allow_abbrev=False)
    diff.add_argument("name", metavar="A")
    diff.add_argument("other", metavar="B")
    verify = verbs.add_parser("verify", help="look whether stored images are whole", allow_abbrev=False)
    verify.add_argument("name", metavar="NAME", nargs="?", help="left out: all images and agents")
    sweep = verbs.add_parser("gc", help="clear away what no image needs", allow_abbrev=False)
    sweep.add_argument("--dry-run", action="store_true", help="only tell what would go")
    export = verbs.add_parser("export", help="fetch an image of a disk", allow_abbrev=False)
    export.add_argument("name", metavar="NAME")
    export.add_argument("file", metavar="FILE", help="where to; - is standard output")
    export.add_argument("--form", choices=("raw", "zst"), help="default: zst if FILE ends so, else raw")
    export.add_argument("--bmap", action="store_true", help="with a block map beside it, for bmaptool")
    export.add_argument("--force", action="store_true", help="in place of files that are there")
    smaller = verbs.add_parser("shrink", help="make an image of a disk fit a smaller one", allow_abbrev=False)
    smaller.add_argument("name", metavar="NAME")
    smaller.add_argument("--as", metavar="NEW", dest="new", required=True, help="the smaller image's name")
    fetch = verbs.add_parser(
        "fetch", help="have an image of the upstream here before boards ask for it", allow_abbrev=False
    )
    fetch.add_argument("name", metavar="NAME")
    return [diff, verify, sweep, export, smaller, fetch]


def add_block_map_options(parser: argparse.ArgumentParser) -> None:
    """Add what an import needs to know of a block map."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--bmap",
        metavar="FILE|URL",
        help="block map (.bmap) of a disk image (default: the one beside its file)",
    )
    which.add_argument("--no-bmap", action="store_true", help="leave alone what lies beside it")


def block_map(args: argparse.Namespace, out: Output) -> Path | str | None:
    """Return which block map an import has: the one that is named, or lies beside the file as bmaptool looks.

    Raises:
        ClientError: an address and a file cannot be together.
    """
    remote = args.source.startswith(("http://", "https://"))
    if args.bmap:
        if args.bmap.startswith(("http://", "https://")) != remote:
            raise ClientError(
                "image and block map must both be files, or both be addresses", "download one of them first"
            )
        return str(args.bmap) if remote else Path(args.bmap)
    if remote or args.no_bmap:
        return None
    name = Path(args.source)
    stem, last = name.name, ""
    while stem != last:  # disk.img.xz.bmap, disk.img.bmap, disk.bmap
        found = name.with_name(f"{stem}.bmap")
        if found.is_file():
            out.note(f"hostler: with the block map {found}")
            return found
        last = stem
        stem = PurePath(stem).stem
    return None


def store_verb(args: argparse.Namespace, out: Output) -> int:
    """Carry out one of the verbs."""
    with Client() as client:
        if args.action == "diff":
            return _diff(client, args, out)
        if args.action == "verify":
            return _verify(client, args, out)
        if args.action == "gc":
            return _sweep(client.sweep_images(dry_run=args.dry_run), out)
        if args.action == "shrink":
            return _shrink(client, args, out)
        if args.action == "fetch":
            return _bring(client, args, out)
        return _export(client, args, out)


def _diff(client: Client, args: argparse.Namespace, out: Output) -> int:
    found = client.image_diff(args.name, args.other)
    if out.json:
        out.document(found)
        return 0

    def row(what: str, share: Share) -> tuple[str, str]:
        stored = f", stored in {size_text(share['stored_bytes'])}"
        return what, f"{share['chunks']} chunks, {size_text(share['bytes'])}{stored}"

    stretches = found["stretches"]
    out.pairs(
        [
            row("in both", found["shared"]),
            row(f"only in {args.name}", found["gone"]),
            row(f"only in {args.other}", found["new"]),
            ("to be written", f"{size_text(found['differing_bytes'])} in {len(stretches)} stretches"),
        ]
    )
    if stretches:
        rows = [(str(start), size_text(length)) for start, length in stretches[:20]]
        out.line("")
        out.table(("from byte", "length"), rows, "")
        if len(stretches) > len(rows):
            out.line(f"and {len(stretches) - len(rows)} more; --json tells all")
    return 0


def _shrink(client: Client, args: argparse.Namespace, out: Output) -> int:
    with progress(live=out.live, quiet=out.json) as view:

        def seen(now: ImportProgress) -> None:
            view.bytes(args.new, "shrinking", now["read"], now["of"])

        made, note = client.shrink_image(args.name, args.new, seen)
    if out.json:
        out.document({**made, "note": note})
    out.line(f"image {made['name']}: {size_text(made['size'])}" + (f"; {note}" if note else ""))
    return 0


def _bring(client: Client, args: argparse.Namespace, out: Output) -> int:
    with progress(live=out.live, quiet=out.json) as view:

        def seen(now: ImportProgress) -> None:
            view.bytes(args.name, "fetching", now["read"], now["of"])

        image = client.fetch_image(args.name, seen)
    if out.json:
        out.document(image)
    out.line(f"image {args.name}: all of it is here" + _whence(image))
    return 0


def _whence(image: Image) -> str:
    return f", from {image['upstream']}" if image["upstream"] else ""


def _verify(client: Client, args: argparse.Namespace, out: Output) -> int:
    with progress(live=out.live, quiet=out.json) as view:

        def seen(now: ImportProgress) -> None:
            view.bytes(args.name or "images", "verifying", now["read"], now["of"])

        found = client.verify_images(args.name, seen)
    if out.json:
        out.document(found)
    else:
        what = f"{found['chunks']} chunks and {found['files']} files, {size_text(found['read_bytes'])}"
        out.line(f"{len(found['images'])} images: looked at {what}")
        for fault in found["faults"]:
            out.line(_fault_line(fault))
        if found["removed"]:
            out.line(
                f"{found['removed']} damaged chunks of the upstream's images were removed: they come anew"
            )
        _advise(client, found["faults"], out)
        if not found["faults"]:
            out.line("everything is as it should be")
    return 1 if found["faults"] else 0


def _fault_line(fault: StoreFault) -> str:
    what = "chunk" if fault["chunk"] else "file"
    whose = [f"image {name}" for name in fault["images"]]
    whose += [f"the agent for {arch}" for arch in fault["agents"]]
    more = f" ({fault['text']})" if fault["kind"] == "unreadable" else ""
    return f"{fault['kind']}: {what} {fault['id']} of {', '.join(whose)}{more}"


def _advise(client: Client, faults: list[StoreFault], out: Output) -> None:
    """Say what to do, once an image."""
    if any(fault["kind"] == "unreadable" for fault in faults):
        out.line("The server's disk cannot be read everywhere: look at its log, and replace it.")
    sources = {image["name"]: image["source"] for image in client.images()}
    for name in sorted({name for fault in faults for name in fault["images"]}):
        out.line(
            f"To mend image {name}: import {sources.get(name, 'the same file')} once more under another name "
            "(what is missing comes with it), then verify again."
        )
    for arch in sorted({arch for fault in faults for arch in fault["agents"]}):
        out.line(f"To mend the agent for {arch}: hostler agent build --arch {arch}")


def _sweep(swept: Swept, out: Output) -> int:
    if out.json:
        out.document(swept)
    else:
        would = "would free" if swept["dry_run"] else "freed"
        out.line(
            f"{would} {size_text(swept['freed_bytes'])}: {swept['chunks']} chunks and {swept['files']} files "
            f"of no image, {swept['unfinished']} unfinished imports, {swept['damaged']} damaged chunks"
        )
        if swept["waiting"]:
            out.line(
                f"{swept['waiting']} files may be of an import under way; what is not goes when it has ended"
            )
        if swept["damaged_index"]:
            out.line(
                f"no chunk was removed: index {swept['damaged_index']} is damaged, and what it needs is not "
                "known; `hostler image verify` tells whose it is"
            )
    return 1 if swept["damaged_index"] else 0


def _export(client: Client, args: argparse.Namespace, out: Output) -> int:
    form = args.form or ("zst" if args.file.endswith(".zst") else "raw")
    if args.file == "-":
        if args.bmap or out.json:
            out.note("hostler: --bmap and --json need a FILE")
            return 2
        _fetch(client, args.name, form, sys.stdout.buffer, out, sparse=False)
        return 0
    target = Path(args.file)
    # bmaptool looks for it there by itself.
    bmap = target.with_name(target.name.removesuffix(".zst") + ".bmap") if args.bmap else None
    for path in filter(None, (target, bmap)):
        if path.exists() and not args.force:
            raise ClientError(f"{path} is there already", "choose another name, or --force")
    partial = target.with_name(f"{target.name}.part")
    try:
        try:
            with partial.open("wb") as file:
                _fetch(client, args.name, form, file, out, sparse=True)
            if bmap is not None:
                bmap.write_bytes(client.image_block_map(args.name))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ClientError(f"cannot write {error.filename or target}: {error.strerror or error}") from None
    if out.json:
        made = {"file": str(target), "form": form, "bytes": target.stat().st_size}
        out.document({**made, "bmap": str(bmap) if bmap else None})
    out.line(f"image {args.name}: {target}" + (f", {bmap}" if bmap else ""))
    return 0


def _fetch(client: Client, name: str, form: str, file: BinaryIO, out: Output, *, sparse: bool) -> None:
    """Fetch an image as zstd, which is shorter, and write it as wanted."""
    with progress(live=out.live, quiet=out.json or not sparse) as view:

        def seen(done: int, total: int) -> None:
            view.bytes(name, "exporting", done, total)

        pieces = client.image_content(name, "zst", seen)
        if form == "zst":
            for piece in pieces:
                file.write(piece)
            return
        import zstandard

        stream = io.BufferedReader(_Pieces(pieces), _BLOCK)
        # Read through a reader: it gives out no more at once than is asked for, whatever the ratio.
        plain = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
        size = 0
        while block := plain.read(_BLOCK):
            size += len(block)
            _write(file, block, sparse=sparse)
        if sparse:
            file.truncate(size)
        file.flush()


def _write(file: BinaryIO, block: bytes, *, sparse: bool) -> None:
    """Write a block; where it is zeros a hole is left, if that may be."""
    if not sparse:
        file.write(block)
        return
    for at in range(0, len(block), _HOLE):
        piece = block[at : at + _HOLE]
        if piece.count(0) == len(piece):
            file.seek(len(piece), io.SEEK_CUR)
        else:
            file.write(piece)


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with what comes next."""
        if not self._held:
            self._held = next(self._pieces, b"")
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count
