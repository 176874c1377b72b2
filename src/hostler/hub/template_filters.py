"""What templates may do with values: filters whose cost is bounded beforehand, and the size of a value."""

from __future__ import annotations

import base64
import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from jinja2 import Undefined

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 200_000
"""Budget of one template: a quarter of a second; the longest that is of use takes a hundredth of it."""
OUTPUT = 256 * 1024
"""Most characters a template may become, and any value in it may have."""
_PER_STEP = 256  # characters that are copied or compared in about the time of one step
_NUMBER_BITS = 256
_DEPTH = 16
_INDENT = 64
_JSON_INDENT = 8


class RefusedError(Exception):
    """What a template does is not allowed, or costs too much."""


def weight(value: Any, depth: int = 0) -> int:
    """Return what a value costs to copy or compare; raises RefusedError for one that is too large."""
    if isinstance(value, str):
        if len(value) > OUTPUT:
            raise RefusedError(f"a text in it becomes longer than {OUTPUT} characters")
        return 1 + len(value) // _PER_STEP
    if isinstance(value, int) and value.bit_length() > _NUMBER_BITS:
        raise RefusedError("a number in it becomes too large")
    if isinstance(value, range):
        return 1
    if not isinstance(value, (list, tuple, dict)):
        return 1
    if depth > _DEPTH:
        raise RefusedError("a value in it is nested too deeply")
    steps = 1
    for item in (*value.keys(), *value.values()) if isinstance(value, dict) else value:
        steps += weight(item, depth + 1)
        if steps > STEPS:
            raise RefusedError("a value in it becomes too large")
    return steps


def _default(value: Any, instead: Any, boolean: bool = False) -> Any:
    missing = isinstance(value, Undefined) or value is None
    return instead if missing or (boolean and not value) else value


def _listed(values: Any) -> list[Any]:
    if isinstance(values, range) and len(values) > STEPS:
        raise RefusedError("a list in it becomes too long")
    found = []
    for value in values:
        found.append(value)
        if len(found) > STEPS:
            raise RefusedError("a list in it becomes too long")
    return found


def _join(values: Any, between: str = "") -> str:
    words = [_scalar(value) for value in _listed(values)]
    _refuse_long(sum(map(len, words)) + len(between) * len(words))
    return between.join(words)


def _replace(text: str, old: str, new: str) -> str:
    if not old:
        raise RefusedError("replace needs something to look for")
    _refuse_long(len(text) + text.count(old) * max(0, len(new) - len(old)))
    return text.replace(old, new)


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    if not isinstance(width, int) or not 0 <= width <= _INDENT:
        raise RefusedError(f"indent takes 0 to {_INDENT}")
    lines = text.split("\n")
    _refuse_long(len(text) + width * len(lines))
    space = " " * width
    moved = [space + line if line else line for line in lines[1:]]
    return "\n".join([space + lines[0] if first and lines[0] else lines[0], *moved])


def _scalar(value: Any) -> str:
    if isinstance(value, Undefined) or not isinstance(value, (str, int, float)):
        raise RefusedError("a list of texts is needed here")
    return str(value)


def _refuse_long(length: int) -> None:
    if length > OUTPUT:
        raise RefusedError(f"a text in it becomes longer than {OUTPUT} characters")


def _json(value: Any, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= _JSON_INDENT:
        raise RefusedError("tojson takes an indent of 0 to 8")
    return json.dumps(value, indent=indent, allow_nan=False)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _number(value: Any) -> int:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d{1,18}", value.strip()):
        raise RefusedError("this text is not a number")
    return int(value)


def _ends(end: int) -> Callable[[Any], Any]:
    def one(values: Any) -> Any:
        found = _listed(values)
        if not found:
            raise RefusedError("an empty list has no first and no last one")
        return found[end]

    return one


def _unique(values: Any) -> list[Any]:
    return list(dict.fromkeys(_scalar(value) for value in _listed(values)))


FILTERS: dict[str, Callable[..., Any]] = {
    "b64encode": _base64,
    "capitalize": lambda text: _scalar(text).capitalize(),
    "count": lambda values: len(values),
    "d": _default,
    "default": _default,
    "first": _ends(0),
    "indent": _indent,
    "int": _number,
    "join": _join,
    "last": _ends(-1),
    "length": lambda values: len(values),
    "list": _listed,
    "lower": lambda text: _scalar(text).lower(),
    "quote": lambda text: shlex.quote(_scalar(text)),
    "replace": _replace,
    "sort": lambda values: sorted(_listed(values)),
    "string": _scalar,
    "tojson": _json,
    "trim": lambda text: _scalar(text).strip(),
    "unique": _unique,
    "upper": lambda text: _scalar(text).upper(),
}
"""By name: Jinja's where it has one of the name, but none that takes a width or a format, and ``quote``,
which makes one word for a shell of anything."""
