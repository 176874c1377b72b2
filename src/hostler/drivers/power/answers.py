"""Finding the state in what a device answers."""

from __future__ import annotations

from typing import Any

ABSENT = object()
"""What a path finds that leads nowhere."""


def find(tree: Any, path: str) -> object:
    """Follow a path of keys, list indexes and ``key=value`` (in a list of objects), separated by dots."""
    for step in path.split("."):
        key, equals, wanted = step.partition("=")
        if isinstance(tree, list) and equals:
            tree = next(
                (one for one in tree if isinstance(one, dict) and str(one.get(key)) == wanted), ABSENT
            )
        elif isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        elif isinstance(tree, dict) and step in tree:
            tree = tree[step]
        else:
            return ABSENT
    return tree


def same(value: object, meant: object) -> bool:
    """Compare as JSON does: true is not 1."""
    return value == meant and isinstance(value, bool) == isinstance(meant, bool)


def shown(value: object) -> str:
    """Return the beginning of what a device said, for a message: one line, nothing that moves a terminal."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return ascii(text if len(text) <= 200 else text[:200] + "…")
