"""Verbs about ssh: ssh-config, host-key."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.settings import load_settings, settings_file

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the server, such as https://lab:8066 (default: that of the settings)")
    parser.add_argument(
        "--host", metavar="NAME", help="what ssh is to call the lab (default: the lab's name)"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="write it beside hostler's settings and let ~/.ssh/config read it",
    )


def ssh_config(args: argparse.Namespace, out: Output) -> int:
    """Print or write what ssh must know: how to get to the lab, and who vouches for its host keys."""
    environment = dict(os.environ)
    if args.url:
        environment["HOSTLER_URL"] = args.url
    settings = load_settings(environment, anonymous=True)
    with Client(settings) as client:
        authority = client.ssh_authority()
    host = args.host or authority["lab"]
    if not _NAME.fullmatch(host):
        raise ClientError(f'"{host}" is no name for a host', "choose one with --host")
    folder = settings_file().parent / "ssh"
    known_hosts, config = folder / f"{host}.known_hosts", folder / f"{host}.conf"
    block = _block(host, authority["lab"], settings.url, known_hosts, chosen=args.lab)
    if out.json:
        out.document({"config": block, "known_hosts": authority["known_hosts"], **authority})
    if not args.write:
        out.line(f"# Into ~/.ssh/config (--write does all this):\n{block}")
        out.line(f"# Into {known_hosts}:\n{authority['known_hosts']}")
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(known_hosts, f"{authority['known_hosts']}\n")
        _replace(config, block)
        _include(Path("~/.ssh/config").expanduser(), folder)
    except OSError as error:
        raise ClientError(f"{error.filename}: cannot be written: {error.strerror}") from None
    out.line(f"written to {config}; now: ssh lab@{host}, ssh BOARD@{host}, ssh BOARD.{authority['lab']}")
    out.line(f"the lab's ssh authority is {authority['fingerprint']}")
    return 0


def _block(host: str, lab: str, url: str, known_hosts: Path, *, chosen: str | None) -> str:
    """Return the part of ssh_config(5) for one lab."""
    program = "hostler" if shutil.which("hostler") else shlex.quote(str(Path(sys.argv[0]).absolute()))
    where = f"--lab {chosen}" if chosen else f"--url {shlex.quote(url)}"
    proxy = f"{program} ssh-proxy {where}".replace("%", "%%")
    return f"""\
# Commands (ssh lab@{host}) and consoles (ssh BOARD@{host}) of lab {lab}
Host {host}
    User lab
    HostKeyAlias {lab}
    ProxyCommand {proxy}
    UserKnownHostsFile "{known_hosts}"
# The sshd of a board one holds (ssh BOARD.{lab})
Host *.{lab}
    User root
    ProxyJump {host}
    UserKnownHostsFile "{known_hosts}"
"""


def _include(config: Path, folder: Path) -> None:
    """Let the user's configuration read ours; a line that is there already is left alone."""
    line = f'Include "{folder}/*.conf"'
    before = config.read_text(encoding="utf-8") if config.exists() else ""
    if line in before.splitlines():
        return
    config.parent.mkdir(exist_ok=True, mode=0o700)
    # At the top: what follows a Host line would be read for that host only.
    _replace(config.resolve(), f"{line}\n{before}")


def _replace(path: Path, text: str) -> None:
    scrap = path.with_name(f".{path.name}.{os.getpid()}")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    try:
        with os.fdopen(os.open(scrap, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
        scrap.replace(path)
    except OSError:
        scrap.unlink(missing_ok=True)
        raise


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument(
        "key", metavar="FILE", nargs="?", default="-",
        help="its public host key, such as ssh_host_ed25519_key.pub (default: standard input)",
    )  # fmt: skip


def host_key(args: argparse.Namespace, out: Output) -> int:
    """Have the host key of a board one holds signed, and print the certificate."""
    try:
        text = sys.stdin.read() if args.key == "-" else Path(args.key).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{args.key}: {error}") from None
    with Client() as client:
        signed = client.sign_host_key(args.board, text.strip())
    if out.json:
        out.document(signed)
    out.line(signed["certificate"])
    return 0


VERBS = {"ssh-config": (_config_arguments, ssh_config), "host-key": (_key_arguments, host_key)}
