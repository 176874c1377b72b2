"""Which server to talk to, and with which token."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = frozenset({"url", "token"})


@dataclass(frozen=True, slots=True)
class Settings:
    """A server and the right to use it.

    Attributes:
        url: Base address without a path, for example ``http://127.0.0.1:8066``.
        token: Bearer token; never printed.
    """

    url: str
    token: str = field(repr=False)


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the settings are kept when the environment does not say them."""
    base = environ.get("XDG_CONFIG_HOME")
    return Path(base) / "hostler/config.toml" if base else Path("~/.config/hostler/config.toml").expanduser()


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from ``HOSTLER_URL`` and ``HOSTLER_TOKEN``, else from the settings file.

    A token of the file is sent to the address of the file only, never to another one from the environment.

    Raises:
        SettingsError: either is missing, or the file cannot be understood.
    """
    path = settings_file(environ)
    kept = _read(path)
    url = environ.get("HOSTLER_URL") or kept.get("url")
    token = environ.get("HOSTLER_TOKEN")
    advice = (
        f"set HOSTLER_URL and HOSTLER_TOKEN, or write them as url and token into {path}; "
        "`hostler serve` prints an admin token when it first starts"
    )
    if not url:
        raise SettingsError("no server is configured", advice)
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f'server address "{url}" does not begin with http:// or https://', advice)
    if not token and _same(url, kept.get("url")):
        token = kept.get("token")
    if not token:
        raise SettingsError(f"no token is configured for {url}", advice)
    return Settings(url.rstrip("/"), token)


def _read(path: Path) -> dict[str, str]:
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}", "correct the file, or remove it") from None
    for key, value in document.items():
        if key not in _KEYS or not isinstance(value, str):
            raise SettingsError(f'{path}: key "{key}" is not known; write url = "…" and token = "…"')
    return document


def _same(url: str, kept: str | None) -> bool:
    return kept is not None and url.rstrip("/") == kept.rstrip("/")
