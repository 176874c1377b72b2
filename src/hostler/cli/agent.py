"""The verb agent: build the agent's kernel and initramfs, and register them with the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.cli.progress import progress
from hostler.cli.words import size_text
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output

ARCHITECTURES = ("amd64", "arm64")


def cache_directory() -> Path:
    """Return where packages and what is built of them are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "hostler"


def _agent_arguments(parser: argparse.ArgumentParser) -> None:
    import argparse as names

    verbs = parser.add_subparsers(dest="action", required=True, metavar="build")
    build = verbs.add_parser("build", help="build it from Debian packages", allow_abbrev=False)
    build.add_argument("--arch", choices=ARCHITECTURES, action="append", help="only this one (default: both)")
    build.add_argument("--output", type=Path, metavar="DIR", help="where to put it (default: in the cache)")
    build.add_argument(
        "--boot-file", type=Path, metavar="FILE", action="append", default=[],
        help="register this too, under its own name: a device tree, a U-Boot (with one --arch)",
    )  # fmt: skip
    build.add_argument(
        "--trust", type=Path, metavar="FILE.pub", action="append", default=[],
        help="a key whose signatures of images it takes (hostler image key new)",
    )  # fmt: skip
    build.add_argument(
        "--trust-nobody", action="store_true", help="none, though the agent registered now trusts somebody"
    )
    build.add_argument(
        "--require-signed", action="store_true", help="it writes nothing to a disk that none of them signed"
    )
    build.add_argument("--no-register", action="store_true", help="build only; no server is asked")
    build.add_argument("--json", action="store_true", default=names.SUPPRESS)


def agent(args: argparse.Namespace, out: Output) -> int:
    """Build the agent for each architecture and tell the server where it lies."""
    extra = _extra_files(args)
    trusted = _trusted(args)
    cache = cache_directory()
    output = (args.output or cache / "agent").resolve()
    built: list[dict[str, Any]] = []
    client = None if args.no_register else Client()
    if client is not None:
        _refuse_forgotten(client, args)
    trust = {"trusted_keys": trusted, "require_signed": args.require_signed}
    for arch in args.arch or ARCHITECTURES:
        kernel, initrd, boot_files, lacks = _build(arch, output, cache, out, **trust)
        boot_files.update(extra)
        size = kernel.stat().st_size + initrd.stat().st_size
        document = {
            "arch": arch,
            "kernel": str(kernel),
            "initrd": str(initrd),
            "boot_files": {name: str(path) for name, path in boot_files.items()},
            "lacks": lacks,
            "size": size,
            **trust,
            "registered": False,
        }
        if lacks:
            out.note(f"agent {arch}: {lacks}")
        if client is not None:
            client.register_agent(arch, kernel, initrd, boot_files, **trust)
            document["registered"] = True
        built.append(document)
        out.line(f"agent {arch}: {size_text(size)} in {kernel.parent}" + (", registered" if client else ""))
    if client is not None:
        client.close()
    if out.json:
        out.document(built)
    return 0


def _extra_files(args: argparse.Namespace) -> dict[str, Path]:
    """Return the files to register besides, by name; raises ClientError before anything is built."""
    files: dict[str, Path] = {path.name: path.resolve() for path in args.boot_file}
    if files and len(args.arch or ARCHITECTURES) != 1:
        raise ClientError("--boot-file belongs to one architecture; say which with --arch")
    if len(files) != len(args.boot_file):
        raise ClientError("two of the --boot-file have the same name, by which boards ask for them")
    for name, path in files.items():
        if name in ("kernel", "initrd"):
            raise ClientError(f"{path}: the name {name} is taken by the agent itself")
        if not path.is_file():
            raise ClientError(f"{path}: there is no such file")
    return files


def _trusted(args: argparse.Namespace) -> list[str]:
    """Return the public keys to trust; raises ClientError, also for options that contradict each other."""
    from hostler.client.signing_key import load_public

    if args.trust and args.trust_nobody:
        raise ClientError("--trust and --trust-nobody say the opposite of each other")
    if args.require_signed and not args.trust:
        raise ClientError("--require-signed needs --trust: without a key it would write nothing at all")
    return list(dict.fromkeys(load_public(path).hex for path in args.trust))


def _refuse_forgotten(client: Client, args: argparse.Namespace) -> None:
    """Raise ClientError when an agent that trusts keys would be replaced by one that silently does not."""
    if args.trust or args.trust_nobody:
        return
    for agent in client.agents():
        if agent["trusted_keys"] and agent["arch"] in (args.arch or ARCHITECTURES):
            raise ClientError(
                f"the agent for {agent['arch']} trusts keys that sign images, and the new one would not",
                "name them again with --trust FILE.pub, or say --trust-nobody",
            )


def _build(
    arch: str, output: Path, cache: Path, out: Output, *, trusted_keys: list[str], require_signed: bool
) -> tuple[Path, Path, dict[str, Path], str]:
    """Return kernel, initramfs, what boards' firmware fetches besides, and what of that could not be had."""
    from hostler.build.agent_image import build_agent
    from hostler.build.errors import BuildError
    from hostler.build.loaders import build_loaders
    from hostler.build.media_loaders import build_media_loaders
    from hostler.build.raspberrypi import build_firmware
    from hostler.build.tool_pack import build_tool_pack

    boot_files: dict[str, Path] = {}
    lacks = ""
    with progress(live=out.live, quiet=out.json) as view:
        try:
            image = build_agent(
                arch,
                output,
                cache,
                lambda stage, done, total: view.part(f"agent {arch}", stage, done, total),
                trusted_keys=trusted_keys,
                require_signed=require_signed,
            )
            boot_files.update(build_loaders(arch, output, cache))
            boot_files.update(build_media_loaders(arch, output, cache))
            boot_files.update(build_tool_pack(arch, output, cache))
        except BuildError as error:
            raise ClientError(f"cannot build the agent for {arch}: {error}") from None
        if arch == "arm64":
            boot_files.update(image.device_trees)
            try:
                boot_files.update(build_firmware(output, cache))
            except BuildError as error:
                lacks = f"no boot files for Raspberry Pi 3 and 4, which then cannot boot from here: {error}"
    return image.kernel, image.initrd, boot_files, lacks


VERBS = {"agent": (_agent_arguments, agent)}
