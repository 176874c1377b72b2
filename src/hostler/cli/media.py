"""The verb media: make a stick or CD that brings the agent to boards without network boot."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.progress import progress
from hostler.cli.words import size_text
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from hostler.build.media import MediumTerms
    from hostler.cli.output import Output
    from hostler.client.documents import Network

ARCHITECTURES = ("amd64", "arm64")
_PLATFORMS = {"amd64": ("x86-bios", "x86-uefi"), "arm64": ("arm64-uefi",)}
"""Whose firmware starts such a medium, by architecture."""


def _media_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD", nargs="?", help="the board it is for")
    parser.add_argument("--any", action="store_true", help="for any machine of a network, known or not")
    parser.add_argument("--arch", choices=ARCHITECTURES, help="with --any: the machines' architecture")
    parser.add_argument("--network", metavar="NAME", help="with --any: where they are, if there are several")
    parser.add_argument("--static", action="store_true", help="use the board's own address, ask no DHCP")
    parser.add_argument("--output", type=Path, metavar="FILE", required=True, help="where to put the image")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")


def media(args: argparse.Namespace, out: Output) -> int:
    """Fetch the agent from the server and make the medium."""
    if wrong := _wrong_use(args):
        out.note(f"hostler: {wrong}")
        return 2
    output: Path = args.output
    _check_output(output, force=args.force)
    with Client() as client:
        terms = _terms_for_any(client, args) if args.any else _terms_for_board(client, args)
        size = _make(client, terms, output, out)
    if out.json:
        out.document(
            {
                "file": str(output.resolve()), "size": size, "arch": terms.arch, "rack": terms.rack,
                "board": args.board, "address": terms.address,
            }
        )  # fmt: skip
    out.line(f"{output}: {size_text(size)}; write it to a stick (dd, byte by byte) or attach it as a CD")
    return 0


def _wrong_use(args: argparse.Namespace) -> str:
    if args.any == (args.board is not None):
        return "say either which BOARD it is for, or --any"
    if args.any and args.arch is None:
        return f"--any needs --arch: {' or '.join(ARCHITECTURES)}"
    if not args.any and (args.arch or args.network):
        return "--arch and --network go with --any; of a board the server knows both"
    if args.any and args.static:
        return "--static goes with a BOARD: any machine has no address of its own"
    return ""


def _check_output(output: Path, *, force: bool) -> None:
    """Say what is wrong with the place before anything is fetched."""
    if output.exists() and not output.is_file():
        raise ClientError(f"{output} is no file; make the image in a file, then write that to the device")
    if output.exists() and not force:
        raise ClientError(f"{output} is there already; take another name, or --force to replace it")
    if not output.parent.is_dir():
        raise ClientError(f"{output.parent}: there is no such folder")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise ClientError(f"{output.parent}: nothing may be written there")


def _terms_for_any(client: Client, args: argparse.Namespace) -> MediumTerms:
    from hostler.build.media import MediumTerms

    return MediumTerms(args.arch, _rack_url(_network(client, args.network)))


def _terms_for_board(client: Client, args: argparse.Namespace) -> MediumTerms:
    from ipaddress import ip_network

    from hostler.build.media import MediumTerms

    board = client.board(args.board)
    if board["platform"] not in _PLATFORMS[board["arch"]]:
        able = ", ".join(name for names in _PLATFORMS.values() for name in names)
        raise ClientError(
            f'board "{board["name"]}" is of platform {board["platform"]}, whose firmware starts no such '
            f"medium; those of these do: {able}"
        )
    network = _network(client, board["network"])
    terms = MediumTerms(board["arch"], _rack_url(network), board["platform"], tuple(board["macs"]))
    if not args.static:
        return terms
    if not board["address"]:
        raise ClientError(f'board "{board["name"]}" has no address of its own; give it one in lab.toml')
    bits = ip_network(network["subnet"]).prefixlen
    return MediumTerms(
        terms.arch, terms.rack, terms.platform, terms.macs, f"{board['address']}/{bits}", network["router"]
    )


def _network(client: Client, name: str | None) -> Network:
    networks = {row["name"]: row for row in client.networks()}
    known = ", ".join(networks) or "there is none yet"
    if name is None:
        if len(networks) != 1:
            raise ClientError(f"say which network (--network): {known}")
        name = next(iter(networks))
    if name not in networks:
        raise ClientError(f'there is no network "{name}"; known: {known}')
    network = networks[name]
    if network["dhcp"] == "none":
        raise ClientError(f'network {name} has dhcp = "none": no agent is served there; "off" lets it be')
    return network


def _rack_url(network: Network) -> str:
    return f"http://{network['server']}:{network['http_port']}"


def _make(client: Client, terms: MediumTerms, output: Path, out: Output) -> int:
    from hostler.build.errors import BuildError
    from hostler.build.media import build_medium, files_needed

    agent = next((agent for agent in client.agents() if agent["arch"] == terms.arch), None)
    if agent is None:
        raise ClientError(f"the server has no agent for {terms.arch}; run there: hostler agent build")
    artefacts = {**agent["boot_files"], "kernel": agent["kernel"], "initrd": agent["initrd"]}
    absent = [name for name in files_needed(terms.arch) if name not in artefacts]
    if absent:
        raise ClientError(
            f"the server's agent for {terms.arch} comes without {', '.join(absent)}; run there: "
            f"hostler agent build --arch {terms.arch}"
        )
    with _fetched(
        client, terms.arch, {name: artefacts[name] for name in files_needed(terms.arch)}, out
    ) as files:
        try:
            build_medium(output, terms, files)
            return output.stat().st_size
        except BuildError as error:
            raise ClientError(f"cannot make the medium: {error}") from None
        except OSError as error:
            raise ClientError(f"cannot write {output}: {error.strerror}") from None


@contextmanager
def _fetched(client: Client, arch: str, wanted: dict[str, str], out: Output) -> Iterator[dict[str, Path]]:
    """Fetch an agent's files, by name and id; they are gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="hostler-media-") as folder,
        progress(live=out.live, quiet=out.json) as view,
    ):
        files: dict[str, Path] = {}
        for number, (name, artefact) in enumerate(wanted.items()):
            view.part(f"medium {arch}", "fetching the agent", number, len(wanted))
            files[name] = Path(folder) / name
            try:
                with files[name].open("wb") as file:
                    digest = client.agent_file(arch, name, file)
            except OSError as error:
                raise ClientError(f"cannot keep {name} in {folder}: {error.strerror}") from None
            if digest != artefact:
                raise ClientError(
                    f"{name} did not arrive whole, or the agent was changed meanwhile; try again"
                )
        view.part(f"medium {arch}", "making the image", len(wanted), len(wanted))
        yield files


VERBS = {"media": (_media_arguments, media)}
