"""Which server to talk to, with which token, and who vouches for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.errors import SettingsError
from hostler.client.settings_file import KeptLab, read_labs, settings_file

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings", "choose_lab", "load_settings", "read_ca", "settings_file"]


@dataclass(frozen=True, slots=True)
class Settings:
    """A server and the right to use it.

    Attributes:
        url: Base address without a path, for example ``https://lab:8066``.
        token: Bearer token; never printed. Empty before the first login.
        ca: PEM text of the certificates that may vouch for the server; None leaves that to the system's.
        socket: Unix socket through which the server is reached instead of its address, or empty.
    """

    url: str
    token: str = field(repr=False)
    ca: str | None = field(default=None, repr=False)
    socket: str = ""


def load_settings(environ: Mapping[str, str] = os.environ, *, anonymous: bool = False) -> Settings:
    """Read the settings from the environment, else from the settings file.

    ``HOSTLER_LAB`` chooses a lab of the file, ``HOSTLER_URL`` a server by its address; with neither it is the
    lab at the top of the file. ``HOSTLER_TOKEN`` and ``HOSTLER_CA`` (a PEM file, or its text) go before the
    file's. A token and a CA of the file are for the address beside them only, never for another one.
    ``HOSTLER_SOCKET`` leads to the server through a Unix socket.

    Args:
        environ: The environment.
        anonymous: Whether it is enough to know the server: who asks need not be known.

    Raises:
        SettingsError: something is missing, or the file cannot be understood.
    """
    path = settings_file(environ)
    _, lab = choose_lab(environ)
    advice = (
        "log in with `hostler login URL`, or set HOSTLER_URL and HOSTLER_TOKEN, or write url and token into "
        f"{path}; `hostler serve` prints an admin token when it first starts"
    )
    if not lab.url:
        raise SettingsError("no server is configured", advice)
    _check_url(lab.url, advice)
    token = environ.get("HOSTLER_TOKEN") or lab.token
    if not token and not anonymous:
        raise SettingsError(f"no token is configured for {lab.url}", advice)
    ca = environ.get("HOSTLER_CA")
    vouched = read_ca(ca, Path.cwd()) if ca else read_ca(lab.ca, path.parent)
    return Settings(lab.url, token, vouched, environ.get("HOSTLER_SOCKET", ""))


def choose_lab(environ: Mapping[str, str] = os.environ) -> tuple[str | None, KeptLab]:
    """Return which lab is meant, by its name in the file (None: the one at the top), and what is kept of it.

    An address that is not in the file is a lab of which nothing else is known.

    Raises:
        SettingsError: there is no lab of that name, or two are meant at once.
    """
    labs = read_labs(settings_file(environ))
    name, url = environ.get("HOSTLER_LAB"), environ.get("HOSTLER_URL", "").rstrip("/")
    if name:
        if name not in labs:
            known = ", ".join(other for other in labs if other) or "none yet"
            raise SettingsError(
                f'there is no lab "{name}" in {settings_file(environ)}; known: {known}',
                f"log in to it with `hostler login URL --lab {name}`",
            )
        if url and url != labs[name].url:
            raise SettingsError(
                f'HOSTLER_LAB says "{name}", which is {labs[name].url}, and HOSTLER_URL says {url}',
                "unset one of them, or choose with --lab",
            )
        return name, labs[name]
    if url:
        for other, lab in labs.items():
            if lab.url == url:
                return other, lab
        return None, KeptLab(url)
    if not labs[None].url and len(labs) > 1:
        named = ", ".join(other for other in labs if other)
        raise SettingsError("several labs are configured, and none of them is the usual one",
                            f"choose with --lab or HOSTLER_LAB: {named}")  # fmt: skip
    return None, labs[None]


def read_ca(ca: str, folder: Path) -> str | None:
    """Return the PEM text a CA setting means: the text itself, or a file relative to a folder; None if empty.

    Raises:
        SettingsError: the file cannot be read or is no PEM.
    """
    if not ca:
        return None
    text = ca
    if "-----BEGIN" not in ca:
        path = folder / Path(ca).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the CA file cannot be read: {error}", "correct ca, or HOSTLER_CA") from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise SettingsError(f"{ca[:80]}: there is no certificate in it (PEM)", "correct ca, or HOSTLER_CA")
    return text


def _check_url(url: str, advice: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f'server address "{url}" does not begin with http:// or https://', advice)
