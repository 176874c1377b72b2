"""Metadata: what people say of a lab, a class, a board and a run for templates to find; how it is merged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hostler.hub.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
# Whoever holds a board can read what is rendered for it, and the lab's inventory is a file among others.
_SECRETS = frozenset({"password", "secret", "token", "passphrase", "api_key"})
_DEPTH = 4
_LONGEST = 16 * 1024  # a public key, a certificate
_MOST = 256


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return metadata as it was; raises ValueError naming a key that is not for templates."""
    _check(values, "", 1)
    return values


def _check(values: Mapping[str, Any], above: str, depth: int) -> None:
    if len(values) > _MOST:
        raise ValueError(f"{above or 'metadata'} has more than {_MOST} keys")
    for key, value in values.items():
        path = f"{above}.{key}" if above else key
        if not _KEY.fullmatch(key):
            raise ValueError(f'"{path}" is not a key of metadata; use letters, digits and "_"')
        if key in _SECRETS:
            raise ValueError(
                f'"{path}" would be read by whoever holds a board; give its hash under another name instead'
            )
        if depth > _DEPTH:
            raise ValueError(f'"{path}" is nested more than {_DEPTH} deep')
        if isinstance(value, dict):
            _check(value, path, depth + 1)
        else:
            _check_value(path, value)


def _check_value(path: str, value: Any) -> None:
    if isinstance(value, list) and len(value) <= _MOST and not any(isinstance(one, list) for one in value):
        for item in value:
            _check_value(path, item)
    elif not isinstance(value, (str, int, float)) or len(str(value)) > _LONGEST:
        raise ValueError(f'"{path}" is not a text, number, boolean, list or table of usual size')


def merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return metadata put together: later layers win, key by key, inside of tables too."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = result.get(key)
            both = isinstance(before, dict) and isinstance(value, dict)
            result[key] = merged((before, value)) if both and isinstance(before, dict) else value
    return result


def assigned(words: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``key=value`` words give, ``a.b=value`` a key in a table; raises InvalidError."""
    result: dict[str, Any] = {}
    for word, value in words.items():
        *tables, key = word.split(".")
        place = result
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise InvalidError(f'"{word}" is set twice, once as a table', kind="bad-metadata")
        if key in place:
            raise InvalidError(f'"{word}" is set twice, once as a table', kind="bad-metadata")
        place[key] = value
    try:
        return checked(result)
    except ValueError as error:
        raise InvalidError(f"metadata: {error}", kind="bad-metadata") from None
