"""Verbs that run servers: serve, virtual, version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="lab.toml", help="the inventory; read again when it changes"
    )
    parser.add_argument(
        "--state", type=Path, default=Path("/var/lib/hostler"), metavar="DIR",
        help="database, images and logs (default /var/lib/hostler)",
    )  # fmt: skip
    parser.add_argument(
        "--listen", default="127.0.0.1:8066", metavar="HOST:PORT",
        help="where people reach the API (default 127.0.0.1:8066)",
    )  # fmt: skip
    parser.add_argument(
        "--ssh-listen", metavar="HOST:PORT",
        help="take ssh on a port of its own, too; it always goes through the API's port (hostler ssh-proxy)",
    )  # fmt: skip
    parser.add_argument(
        "--metrics-open", action="store_true", help="/metrics without a token, on a port of loopback only"
    )
    parser.add_argument(
        "--new-admin-token", action="store_true",
        help="the tokens were lost: make a new one for the admin, print it, and serve",
    )  # fmt: skip
    tls = parser.add_argument_group("TLS", "without these: plain HTTP on loopback, else as with --tls auto")
    tls.add_argument(
        "--tls", choices=("auto", "off"),
        help="auto: a certificate by an authority of the lab's own, made at the first start; off: plain HTTP",
    )  # fmt: skip
    tls.add_argument(
        "--name", action="append", metavar="HOST",
        help="a name or address clients call this host by, NAME:PORT where they reach it by another port "
        "(may be repeated; the host's own name and addresses are known)",
    )  # fmt: skip
    tls.add_argument(
        "--tls-cert", type=Path, metavar="FILE",
        help="a certificate of your own (PEM, with those that vouch for it); read again when it changes",
    )  # fmt: skip
    tls.add_argument("--tls-key", type=Path, metavar="FILE", help="its key (PEM), if not in the same file")
    tls.add_argument(
        "--plain-http", action="store_true",
        help="plain HTTP also where other hosts reach it: something else protects the way",
    )  # fmt: skip


def serve(args: argparse.Namespace, _out: Output) -> int:
    """Run the server until it is told to stop."""
    from hostler.serve import main

    return main(args)


def _virtual_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="virtual.toml")


def virtual(args: argparse.Namespace, _out: Output) -> int:
    """Run a virtual lab until it is told to stop."""
    from hostler.virtual.main import main

    return main(["--config", str(args.config)])


def _version_arguments(_parser: argparse.ArgumentParser) -> None:
    """Take no argument."""


def version(_args: argparse.Namespace, out: Output) -> int:
    """Print the version of this program, and of the server if one is configured and answers."""
    from hostler import __version__
    from hostler.client.client import Client
    from hostler.client.errors import ClientError

    server: str | None = None
    try:
        with Client() as client:
            server = client.health(seconds=2.0)["version"]
    except ClientError:
        pass  # asked for in passing; the answer is the version of this program
    if out.json:
        out.document({"version": __version__, "server": server})
    out.line(f"hostler {__version__}" + (f", server {server}" if server else ""))
    return 0


VERBS = {
    "serve": (_serve_arguments, serve),
    "virtual": (_virtual_arguments, virtual),
    "version": (_version_arguments, version),
}
