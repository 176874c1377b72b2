"""Verbs about who one is: login, logout, whoami."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hostler.cli.words import plain
from hostler.client.errors import ClientError, SettingsError
from hostler.client.settings import Settings, choose_lab, load_settings, read_ca
from hostler.client.settings_file import KeptLab, check_name, keep_lab, read_labs, settings_file
from hostler.client.transport import is_local

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.login import Granted, TokenInUse


def _login_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help="the server, such as https://lab:8066; known when logged in before",
    )
    parser.add_argument(
        "--fingerprint", metavar="SHA256:…",
        help="of the CA that vouches for the server, as `hostler serve` prints it; asked for otherwise",
    )  # fmt: skip
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the CA itself (PEM)")
    parser.add_argument(
        "--token", metavar="-", help="read a token from standard input instead of using an ssh key"
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="the ssh key to log in with")
    parser.add_argument(
        "--oidc", action="store_true", help="log in by the lab's OpenID Connect provider, in a browser"
    )
    parser.add_argument("--name", help="what the new token is called in lists (default: this machine's name)")
    parser.add_argument(
        "--plain-http", action="store_true", help="send the token in the clear to another host"
    )


def login(args: argparse.Namespace, out: Output) -> int:
    """Get or take a token, check it, and keep it with the server's address and CA."""
    from hostler.client.login import ask_who

    if args.token not in (None, "-"):
        raise ClientError(
            "a token on the command line is seen by everybody on this machine", "pipe it in: --token -"
        )
    name, kept = _which(args)
    url = _address(args, kept)
    ca = _trust(args, url, kept)
    pem = read_ca(ca, settings_file().parent)
    granted = _log_in(args, url, pem)
    token, expires = granted["token"], granted["expires"]
    me = ask_who(Settings(url, token, pem))
    path = settings_file()
    keep_lab(path, name, KeptLab(url, token, ca))
    if out.json:
        out.document({**me, "url": url, "lab": name, "expires": expires})
    out.line(f"logged in to {url} as {me['name']} ({me['role']}){_until(expires)}; kept in {path}")
    if os.environ.get("HOSTLER_TOKEN"):
        out.note("HOSTLER_TOKEN is set and goes before it: unset it")
    return 0


def _which(args: argparse.Namespace) -> tuple[str | None, KeptLab]:
    """Return where in the file the login belongs, and what stands there."""
    labs = read_labs(settings_file())
    name = args.lab or os.environ.get("HOSTLER_LAB")
    if name:
        return check_name(name), labs.get(name, KeptLab())
    if args.url is None:
        return choose_lab()
    url = args.url.rstrip("/")
    for other, lab in labs.items():
        if lab.url == url:
            return other, lab
    usual = labs[None]
    if usual.token:
        raise SettingsError(
            f"the usual lab is {usual.url}; give this one a name: --lab NAME",
            "or `hostler logout` of the other one first",
        )
    return None, KeptLab()


def _address(args: argparse.Namespace, kept: KeptLab) -> str:
    url = str(args.url or kept.url).rstrip("/")
    if not url:
        raise SettingsError("which server? write `hostler login https://LAB:8066`")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise SettingsError(f'"{url}" is no address of a server: write it like https://lab:8066')
    if parts.scheme == "http" and not is_local(url) and not args.plain_http:
        raise SettingsError(
            f"{url} is not protected: everybody on the way would read the token",
            f"use https://{parts.netloc}, or --plain-http if something else protects the way",
        )
    return url


def _trust(args: argparse.Namespace, url: str, kept: KeptLab) -> str:
    """Return the CA as it is to stand in the file; empty: the system knows it, or nobody is needed."""
    if not url.startswith("https://"):
        if args.fingerprint or args.ca:
            raise SettingsError(
                f"{url} has no certificate: leave --fingerprint and --ca out, or use https://"
            )
        return ""
    from hostler.client.first_contact import find_ca, normal_fingerprint

    if args.ca is not None:
        if args.fingerprint:
            raise SettingsError("--ca and --fingerprint both say whom to believe: leave one out")
        return read_ca(str(args.ca), Path.cwd()) or ""
    if args.fingerprint:
        return find_ca(url, normal_fingerprint(args.fingerprint), _nobody) or ""
    if kept.ca and kept.url == url:
        return kept.ca  # believed before: who answers with another one is told apart when he is asked
    return find_ca(url, None, functools.partial(_ask, url)) or ""


def _nobody(_fingerprint: str) -> bool:
    return False


def _ask(url: str, fingerprint: str) -> bool:
    """Show a fingerprint on the terminal and ask, as ssh does for a host it does not know."""
    advice = "compare with what `hostler serve` prints when it starts"
    try:
        # Not standard input: the token may come from there.
        terminal = Path("/dev/tty").open("r+b", buffering=0)  # noqa: SIM115 - closed below
    except OSError:
        raise SettingsError(
            f"nobody this machine knows vouches for {url}, and there is no terminal to ask on; it shows "
            f"{fingerprint}",
            f"{advice}, then say --fingerprint SHA256:…",
        ) from None
    with terminal:
        terminal.write(
            f"Nobody this machine knows vouches for {url}. Its CA has the fingerprint\n  {fingerprint}\n"
            f"To be sure, {advice}. Believe it from now on (yes/no)? ".encode()
        )
        return terminal.readline().strip().lower() == b"yes"


def _read_token() -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        token = getpass("token: ").strip()
    else:
        token = sys.stdin.readline().strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ClientError(
            "what came in is no token", "pipe it in, for example: hostler login URL --token - < file"
        )
    return token


def _log_in(args: argparse.Namespace, url: str, pem: str | None) -> Granted:
    """Have a token by the way that was asked for."""
    import socket

    from hostler.client.login import login_by_key, login_by_token

    name = args.name or socket.gethostname()
    if args.token == "-":  # noqa: S105 - where it comes from
        return login_by_token(url, pem, _read_token(), name)
    if args.oidc:
        from hostler.client.oidc import login_by_oidc

        return login_by_oidc(url, pem, name, _show_code)
    from hostler.client.ssh_key import find_key

    return login_by_key(url, pem, find_key(args.key), name)


def _show_code(where: str, code: str) -> None:
    """Say on stderr where somebody says yes; standard output is for the result."""
    print(plain(f"Open {where} and check or type the code {code}"), file=sys.stderr, flush=True)


def _logout_arguments(_parser: argparse.ArgumentParser) -> None:
    """Take no argument."""


def logout(_args: argparse.Namespace, out: Output) -> int:
    """End the kept token at the server and forget it here; the address and the CA stay for the next login."""
    from hostler.client.login import revoke

    name, lab = choose_lab()
    if not lab.token:
        raise SettingsError(f"not logged in to {lab.url or 'any lab'}: there is no token to forget")
    path = settings_file()
    why = ""
    try:
        if not revoke(Settings(lab.url, lab.token, read_ca(lab.ca, path.parent))):
            why = "the server cannot end single tokens"
    except ClientError as error:
        why = str(error)
    keep_lab(path, name, KeptLab(lab.url, "", lab.ca))
    if out.json:
        out.document({"url": lab.url, "lab": name, "revoked": not why})
    out.line(f"logged out of {lab.url}")
    if why:
        out.note(f"the token is forgotten here but may still be good at the server: {why}")
    return 0


def _whoami_arguments(_parser: argparse.ArgumentParser) -> None:
    """Take no argument."""


def whoami(_args: argparse.Namespace, out: Output) -> int:
    """Print who the token belongs to, and at which server."""
    from hostler.client.login import ask_who

    settings = load_settings()
    me = ask_who(settings)
    if out.json:
        out.document({**me, "url": settings.url, "lab": choose_lab()[0]})
    out.pairs([
        ("name", me["name"]),
        ("role", me["role"]),
        ("projects", ", ".join(f"{project['name']} ({project['role']})" for project in me["projects"])),
        ("token", _token(me["login"])),
        ("server", f"{settings.url}, version {me['server']}"),
    ])  # fmt: skip
    return 0


def _token(token: TokenInUse | None) -> str:
    """Return a token's name, what narrows it, and its end."""
    if token is None:
        return ""
    narrowed = f", for project {token['project']} only" if token.get("project") else ""
    return f"{token.get('name') or 'without a name'}{narrowed}{_until(token.get('expires'))}"


def _until(expires: str | None) -> str:
    from hostler.cli.words import local_time

    return f", until {local_time(expires)}" if expires else ""


VERBS = {
    "login": (_login_arguments, login),
    "logout": (_logout_arguments, logout),
    "whoami": (_whoami_arguments, whoami),
}
