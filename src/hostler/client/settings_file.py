"""The client's settings file: which labs there are, and the right to use each.

One lab stands at the top, used when none is named; others stand in tables of their own:

    url = "https://lab:8066"
    token = "hst_…"
    ca = "/etc/hostler/ca.pem"

    [labs.rack2]
    url = "https://rack2.example:8066"
    token = "hst_…"

``ca`` is what vouches for the server if the system does not know it: a PEM file, relative to this one, or the
PEM text itself.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.client.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = ("url", "token", "ca")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class KeptLab:
    """What the file says of one lab.

    Attributes:
        url: Its address, without a slash at the end; empty if the file does not say it.
        token: Empty when logged out; never printed.
        ca: As it stands in the file; empty: the system knows who vouches for the server.
    """

    url: str = ""
    token: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the settings are kept when the environment does not say them."""
    base = environ.get("XDG_CONFIG_HOME")
    return Path(base) / "hostler/config.toml" if base else Path("~/.config/hostler/config.toml").expanduser()


def read_labs(path: Path) -> dict[str | None, KeptLab]:
    """Return the labs by name; the one at the top is None, and always there.

    Raises:
        SettingsError: the file cannot be understood; a file that is not there is an empty one.
    """
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {None: KeptLab()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}", "correct the file, or remove it") from None
    tables = document.pop("labs", {})
    if not isinstance(tables, dict):
        raise SettingsError(f'{path}: "labs" must be tables, such as [labs.rack2]')
    labs: dict[str | None, KeptLab] = {None: _lab(path, "", document)}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f'{path}: labs.{name} must be a table: [labs.{name}] with url = "…"')
        labs[name] = _lab(path, f"labs.{name}.", table)
    return labs


def _lab(path: Path, place: str, table: dict[str, Any]) -> KeptLab:
    for key, value in table.items():
        if key not in _KEYS or not isinstance(value, str):
            raise SettingsError(
                f'{path}: key "{place}{key}" is not known; write url = "…", token = "…", if needed ca = "…"'
            )
    return KeptLab(table.get("url", "").rstrip("/"), table.get("token", ""), table.get("ca", ""))


def check_name(name: str) -> str:
    """Return the name of a lab; raises SettingsError if it cannot be one."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f'"{name}" is no name for a lab; use letters, digits, ".", "_" and "-", at most 63'
        )
    return name


def keep_lab(path: Path, name: str | None, lab: KeptLab) -> None:
    """Write what is known of one lab, None for the one at the top; the rest of the file stays, comments too.

    The file is replaced as a whole and only its owner can read it.

    Raises:
        SettingsError: the file cannot be understood or written.
    """
    import tomlkit

    read_labs(path)  # a file with a mistake is for its owner to correct
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
        table: Any = document
        if name is not None:
            table = document.setdefault("labs", tomlkit.table(is_super_table=True)).setdefault(
                check_name(name), tomlkit.table()
            )
        for key in _KEYS:
            value = getattr(lab, key)
            if value:
                table[key] = tomlkit.string(value, multiline=key == "ca" and "\n" in value)
            elif key in table:
                del table[key]
        _replace(path, tomlkit.dumps(document).encode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None


def _replace(path: Path, content: bytes) -> None:
    path = path.resolve()  # a symbolic link, as people who version their settings have, stays one
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
