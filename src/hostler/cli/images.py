"""The verb image: import, presets, list, show, share, rm; the rest is in ``signing`` and ``image_store``."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli import image_store, signing
from hostler.cli.disk_kernel import disk_kernel
from hostler.cli.image_kind import PRESET, is_description, kind_of
from hostler.cli.progress import progress
from hostler.cli.words import local_time, size, size_text
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Image, ImportProgress, Netboot
    from hostler.client.image_bundle import Instead


def _image_arguments(parser: argparse.ArgumentParser) -> None:
    # An absent --json here must not undo one given before the sub-verb.
    import argparse as names

    verbs = parser.add_subparsers(
        dest="action",
        required=True,
        metavar="import|presets|list|show|share|rm|diff|verify|gc|export|shrink|fetch|key|sign|unsign",
    )
    add = verbs.add_parser(
        "import",
        help="import an image of a disk, or a system that comes over the network",
        allow_abbrev=False,
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "source",
        metavar="SOURCE",
        help="FILE or URL of a disk image, of a root file system (tar, OCI layout), of a live ISO or KIWI's "
        "tar; image.toml or its folder; preset:NAME",
    )
    add.add_argument(
        "--kind",
        choices=("disk", "netboot"),
        help="what it is (default: by its content, of a URL by its name)",
    )
    add.add_argument("--arch", choices=("amd64", "arm64"), help="needed for a disk image")
    add.add_argument(
        "--platforms",
        metavar="P[,P…]",
        help="what it boots on, such as x86-bios,x86-uefi; needed for a disk image",
    )
    add.add_argument(
        "--kernel",
        metavar="debian|FILE|URL",
        help="for a root file system that has none: Debian's, a linux-image package, or a tar with kernel, "
        "initramfs and modules; else in place of the kernel that image.toml names",
    )
    add.add_argument("--initrd", metavar="FILE|URL", help="in place of its initramfs")
    add.add_argument(
        "--file",
        metavar="NAME=FILE|URL",
        action="append",
        default=[],
        help="in place of a further file of it",
    )
    add.add_argument("--append", metavar="TEXT", default="", help="more for the kernel's command line")
    add.add_argument(
        "--size",
        type=size,
        metavar="SIZE",
        help="of the disk that a root file system becomes (8G; as needed)",
    )
    add.add_argument(
        "--done",
        choices=("callback", "console", "second-boot"),
        help="what tells its end (default: as it says)",
    )
    add.add_argument(
        "--done-console", metavar="REGEX", help="what its console shows when it has booted (disk: login:)"
    )
    add.add_argument("--done-seconds", type=float, metavar="N", help="longest time until then")
    add.add_argument(
        "--sign-with", type=Path, metavar="FILE", help="sign it with this private key, which stays here"
    )
    image_store.add_block_map_options(add)
    ready = verbs.add_parser("presets", help="installers and systems described already", allow_abbrev=False)
    ready.add_argument("preset", metavar="PRESET", nargs="?")
    ready.add_argument("--to", metavar="FOLDER", help="copy its files there, to be changed and imported")
    show = verbs.add_parser("show", help="everything about an image", allow_abbrev=False)
    show.add_argument("name", metavar="NAME")
    listing = verbs.add_parser("list", help="every image", allow_abbrev=False)
    share = verbs.add_parser("share", help="say who sees an image", allow_abbrev=False)
    share.add_argument("name", metavar="NAME")
    whom = share.add_mutually_exclusive_group(required=True)
    whom.add_argument("--project", metavar="P", help="the members of this project, and the lab's admins")
    whom.add_argument("--everybody", action="store_true", help="whoever is signed in")
    remove = verbs.add_parser("rm", help="remove an image", allow_abbrev=False)
    remove.add_argument("name", metavar="NAME")
    own = (add, ready, show, share, listing, remove)
    for verb in (*own, *image_store.add_verbs(verbs), *signing.add_verbs(verbs)):
        verb.add_argument("--json", action="store_true", default=names.SUPPRESS)


def image(args: argparse.Namespace, out: Output) -> int:
    """Carry out the sub-verb."""
    if args.action == "presets":
        return _presets(args, out)
    if args.action in signing.ACTIONS:
        return signing.signing(args, out)
    if args.action in image_store.ACTIONS:
        return image_store.store_verb(args, out)
    with Client() as client:
        if args.action == "import":
            return _import(client, args, out)
        if args.action == "list":
            return _list(client, out)
        if args.action == "show":
            _show(client.image(args.name), out)
            return 0
        if args.action == "share":
            made = client.share_image(args.name, args.project)
            if out.json:
                out.document(made)
            out.line(f"image {args.name} is for {_whom(made)}")
            return 0
        client.remove_image(args.name)
    if out.json:
        out.document({"removed": args.name})
    out.line(f"image {args.name} removed")
    return 0


def _import(client: Client, args: argparse.Namespace, out: Output) -> int:
    kind = args.kind or kind_of(args.source)
    instead = _instead(args, None if kind == "disk" else args.kernel)
    described = is_description(args.source)
    if kind == "disk" and not (args.arch and args.platforms):
        out.note("hostler: a disk image needs --arch and --platforms")
        return 2
    if kind == "disk" and (args.done or described):
        out.note("hostler: --done, image.toml and presets are for systems that come over the network")
        return 2
    if kind == "netboot" and args.size is not None:
        out.note("hostler: --size is for the disk that a root file system becomes; say --kind disk")
        return 2
    if instead.query() != {"kernel": None, "initrd": None, "file": []} and not described:
        out.note("hostler: --kernel, --initrd and --file are for an image.toml or a preset")
        return 2
    if kind == "netboot" and args.sign_with:
        out.note("hostler: only an image of a disk can be signed; what comes over the network cannot")
        return 2
    block_map = image_store.block_map(args, out) if kind == "disk" else None
    kernel = disk_kernel(args, out) if kind == "disk" else None
    key = signing.signing_key(args.sign_with, out) if args.sign_with else None
    with progress(live=out.live, quiet=out.json) as view:

        def seen(now: ImportProgress) -> None:
            # Bytes out are known only once the server reads; until then this is the upload.
            doing = "storing" if now["out"] else "reading"
            if now["event"] == "waiting":
                doing = "waiting for the server"
            view.bytes(args.name, doing, now["read"], now["of"])

        remote = args.source.startswith(("http://", "https://"))
        platforms = args.platforms.split(",") if args.platforms else []
        terms = {"done_console": args.done_console, "done_seconds": args.done_seconds, "progress": seen}
        try:
            if kind == "disk":
                source = args.source if remote else Path(args.source)
                made = client.import_image(
                    args.name, source, arch=args.arch, platforms=platforms, block_map=block_map,
                    kernel=kernel, size=args.size, append=args.append, **terms,
                )  # fmt: skip
            else:
                place = _preset(args.source) if args.source.startswith(PRESET) else Path(args.source)
                made = client.import_netboot_image(
                    args.name, args.source if remote else place, arch=args.arch, platforms=platforms,
                    instead=instead, append=args.append, done=args.done, **terms,
                )  # fmt: skip
        except OSError as error:
            raise ClientError(f"cannot read {args.source}: {error.strerror or error}") from None
    if key is not None:
        try:
            made = signing.sign(client, args.name, key)
        except ClientError as error:
            raise ClientError(
                f"image {args.name} was imported and is not signed: {error}",
                f"hostler image sign {args.name} --key {args.sign_with}",
            ) from error
    if out.json:
        out.document(made)
    of_it = (
        "" if made["netboot"] else f", {size_text(made['data_bytes'])} of it data; new: {_new_words(made)}"
    )
    by = f", signed by {signing.signers(made)}" if key is not None else ""
    out.line(f"image {made['name']}: {size_text(made['size'])}{of_it}{by}")
    return 0


def _instead(args: argparse.Namespace, kernel: str | None) -> Instead:
    from hostler.client.image_bundle import Instead

    wrong = [word for word in args.file if "=" not in word]
    if wrong:
        raise ClientError(f'"{wrong[0]}" is not NAME=FILE', "write --file rootfs.img=path/to/rootfs.img")
    return Instead(kernel, args.initrd, dict(word.split("=", 1) for word in args.file))


def _installers() -> Path:
    # Part of the package, and that is always unpacked.
    return Path(str(resources.files("hostler") / "installers"))


def _preset(word: str) -> Path:
    name = word.removeprefix(PRESET)
    known = sorted(path.parent.name for path in _installers().glob("*/image.toml"))
    if name not in known:
        raise ClientError(f'there is no preset "{name}"; there are {", ".join(known)}')
    return _installers() / name


def _presets(args: argparse.Namespace, out: Output) -> int:
    if args.preset is None:
        if args.to:
            out.note("hostler: say which preset is to be copied")
            return 2
        rows = [
            (path.parent.name, tomllib.loads(path.read_text(encoding="utf-8"))["description"])
            for path in sorted(_installers().glob("*/image.toml"))
        ]
        if out.json:
            out.document([{"name": name, "description": text} for name, text in rows])
        out.table(("preset", "what it is"), rows, "no presets")
        return 0
    folder = _preset(args.preset)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if args.to:
        target = Path(args.to)
        try:
            target.mkdir(parents=True)
            for path in files:
                (target / path.name).write_bytes(path.read_bytes())
        except OSError as error:
            raise ClientError(f"cannot copy to {target}: {error.strerror}", "choose a new folder") from None
        out.line(f"change what you like, then: hostler image import NAME {target}")
    if out.json:
        out.document({"name": args.preset, "files": {path.name: path.read_text("utf-8") for path in files}})
    elif not args.to:
        for path in files:
            out.line(f"# {path.name}\n{path.read_text('utf-8')}")
    return 0


def _list(client: Client, out: Output) -> int:
    found = client.images()
    if out.json:
        out.document(found)
    out.table(
        ("image", "kind", "arch", "platforms", "size", "data", "for", "from", "created"),
        [
            (
                image["name"],
                _kind_words(image),
                image["arch"],
                ",".join(image["platforms"]) or "any",
                size_text(image["size"]),
                size_text(image["data_bytes"]) if image["kind"] == "disk" else "",
                _whom(image),
                image["upstream"] or "here",
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
    done, netboot = image["done"], image["netboot"]
    booted = f'when "{done["console"]}" shows on the console within {done["seconds"]:.0f} s'
    rows = [
        ("image", image["name"]),
        ("kind", _kind_words(image)),
        ("arch", image["arch"]),
        ("platforms", ", ".join(image["platforms"]) or "any"),
        ("for", _whom(image)),
    ]
    if netboot is None:
        rows += [
            ("size", f"{size_text(image['size'])}, {size_text(image['data_bytes'])} of it data"),
            ("chunks", f"of {size_text(image['chunk_size'])}, index {image['index']}"),
            ("booted", booted),
            ("signed by", signing.signers(image)),
        ]
    else:
        rows += [("size", size_text(image["size"])), *_netboot_rows(netboot)]
        rows += [("booted", booted)] if netboot["installs"] else []
    rows += [("created", local_time(image["created"])), *_origin_rows(image)]
    out.pairs(rows)


def _origin_rows(image: Image) -> list[tuple[str, str]]:
    """Say who brought it, from what, and what it added to the store."""
    origin = image["provenance"]
    home = [("at home", image["upstream"])] if image["upstream"] else []
    by = f", by {origin['principal']}" if origin["principal"] else ""
    version = f", with version {origin['version']}" if origin["version"] else ""
    rows = [*home, ("source", f"{image['source']}{by}{version}")]
    if origin["sha256"]:
        rows.append(("sha256", origin["sha256"]))
    if origin["chunks"] and not image["upstream"]:
        rows.append(("new then", _new_words(image)))
    return rows


def _new_words(image: Image) -> str:
    origin = image["provenance"]
    stored = f", {size_text(origin['stored_bytes'])} in the store" if origin["new_chunks"] else ""
    return f"{origin['new_chunks']} of {origin['chunks']} chunks{stored}"


def _whom(image: Image) -> str:
    return f"project {image['project']}" if image["project"] else "everybody"


def _kind_words(image: Image) -> str:
    netboot = image["netboot"]
    return "disk" if netboot is None else "installer" if netboot["installs"] else "live"


def _netboot_rows(netboot: Netboot) -> list[tuple[str, str]]:
    signals = {
        "console": f'"{netboot["pattern"]}" shows on the console',
        "callback": "it posts to its rack",
        "second-boot": "the board asks the network again",
    }
    within = f"{netboot['seconds'] / 60:g} min"
    return [
        ("kernel", netboot["kernel"]),
        *([("initrd", netboot["initrd"])] if netboot["initrd"] else []),
        ("cmdline", netboot["cmdline"]),
        *((f"file {name}", artefact) for name, artefact in sorted(netboot["files"].items())),
        *([("templates", ", ".join(netboot["templates"]))] if netboot["templates"] else []),
        ("done", f"when {signals[netboot['signal']]}, within {within}"),
    ]


VERBS = {"image": (_image_arguments, image)}
