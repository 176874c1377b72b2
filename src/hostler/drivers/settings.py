"""Reading an equipment's or a binding's table: every complaint names its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def text(table: Mapping[str, object], key: str) -> str:
    """Return the non-empty string under ``key``.

    Raises:
        DriverConfigError: When it is missing or something else.
    """
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise DriverConfigError(
            key, "is missing" if value is None else f"must be a non-empty text, not {value!r}"
        )
    return value


def whole_number(
    table: Mapping[str, object], key: str, *, least: int, most: int, default: int | None = None
) -> int:
    """Return the integer under ``key`` within ``least`` and ``most``.

    Raises:
        DriverConfigError: When it is missing without a default, not a whole number, or out of range.
    """
    value = table.get(key, default)
    if value is None:
        raise DriverConfigError(key, "is missing")
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise DriverConfigError(key, f"must be a whole number from {least} to {most}, not {value!r}")
    return value


def seconds(table: Mapping[str, object], key: str, default: float) -> float:
    """Return the positive number of seconds under ``key``, at most an hour.

    Raises:
        DriverConfigError: When it is no number or out of range.
    """
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3600:
        raise DriverConfigError(key, f"must be a number of seconds from 0 to 3600, not {value!r}")
    return float(value)


def host(table: Mapping[str, object], key: str) -> str:
    """Return the host name or address under ``key``.

    Raises:
        DriverConfigError: When it is missing or could be neither.
    """
    value = text(table, key)
    _check_host(key, value)
    return value


def _check_host(key: str, name: str) -> None:
    try:
        name.encode("idna")  # what the resolver will do, and fail in its own way
    except UnicodeError:
        raise DriverConfigError(key, f"{name!r} is neither a host name nor an address") from None


def address(table: Mapping[str, object], key: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host and port from ``"host:port"``, ``"[v6]:port"`` or, with a default port, ``"host"``.

    Raises:
        DriverConfigError: When it is missing or not of that form.
    """
    value = text(table, key)
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = value, "" if default_port is None else str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    _check_host(key, host)
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise DriverConfigError(key, f'must be "host:port" with a port from 1 to 65535, not {value!r}')
    return host, int(port)


def only(table: Mapping[str, object], *known: str) -> None:
    """Refuse keys nobody reads: a typing error must not pass as a default.

    Raises:
        DriverConfigError: Names the first unknown key and the known ones. ``driver``, ``name`` and
            ``equipment`` belong to whoever holds the table and are always allowed.
    """
    for key in table:
        if key not in known and key not in ("driver", "name", "equipment"):
            raise DriverConfigError(key, f"unknown key; this driver knows: {', '.join(sorted(known))}")
