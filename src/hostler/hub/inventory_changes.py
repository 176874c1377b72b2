"""What changes when a lab is described anew: table by table, and in each key by key as the file has them."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hostler.model.board import Binding, Equipment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hostler.hub.inventory import Inventory

HIDDEN = "(hidden)"
"""Stands for a secret that is no reference."""

_SECRET = re.compile(r"(?i)community|passw|secret|token|passphrase|(auth|priv|api)_?key|authorization|cookie")
_REFERENCES = ("env:", "file:")
_WRITTEN = {"board_class": "class"}
"""Fields whose key in the file has another name."""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key that is not what it was.

    Attributes:
        key: Dotted path below its table, such as ``power.port``.
        old: JSON value before, or None: it was not there. Never a secret, only a reference to one.
        new: The same afterwards.
    """

    key: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class InventoryChange:
    """One difference between two inventories.

    Attributes:
        what: ``lab`` ``network`` ``equipment`` ``class`` ``board`` ``hook``.
        name: Which one.
        change: ``add`` ``change`` ``remove``.
        keys: What differs in it, or all it has or had; in the order of the file's description.
    """

    what: str
    name: str
    change: str
    keys: tuple[KeyChange, ...] = ()

    @property
    def detail(self) -> str:
        """The keys of a change in one line, for people."""
        return ", ".join(one.key for one in self.keys) if self.change == "change" else ""


def differences(old: Inventory, new: Inventory) -> list[InventoryChange]:
    """Return everything that is in one and not in the other, in the order of the file."""
    kinds: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("network", old.networks, new.networks),
        ("equipment", old.equipment, new.equipment),
        ("class", old.classes, new.classes),
        ("board", old.boards, new.boards),
        ("hook", old.hooks, new.hooks),
    )
    changes = [change for what, before, after in kinds for change in _compare(what, before, after)]
    lab = _keys(_lab(old), _lab(new))
    if lab:
        changes.insert(0, InventoryChange("lab", new.lab, "change" if old.lab else "add", lab))
    return changes


def _lab(inventory: Inventory) -> dict[str, Any] | None:
    if not inventory.lab:
        return None  # nothing was described yet
    return {
        "name": inventory.lab,
        "oidc": inventory.oidc,
        "keep": inventory.keep,
        "keep_traces": inventory.keep_traces,
        "image_limit": inventory.image_limit,
        "image_limit_per_person": inventory.image_limit_per_person,
        "images": inventory.upstream,
        "metadata": inventory.metadata,
    }


def _compare(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[InventoryChange]:
    for name in sorted(before.keys() - after.keys()):
        yield InventoryChange(what, name, "remove", _keys(before[name], None))
    for name, value in after.items():
        if name not in before:
            yield InventoryChange(what, name, "add", _keys(None, value))
        elif before[name] != value:
            yield InventoryChange(what, name, "change", _keys(before[name], value))


def _keys(before: Any, after: Any) -> tuple[KeyChange, ...]:
    old, new = dict(_flat(before)), dict(_flat(after))
    # Compared before anything is hidden: that a secret is another one now is worth telling.
    return tuple(
        KeyChange(key, _shown(key, old.get(key)), _shown(key, new.get(key)))
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    )


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key below a table with its value; what is not said is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        table: dict[str, Any] = {
            _WRITTEN.get(one.name, one.name): getattr(value, one.name) for one in fields(value)
        }
        if not path:
            table.pop("name", None)
        if isinstance(value, Binding | Equipment):
            table |= table.pop("params")  # in the file the driver's keys stand among the others
        yield from _flat(table, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, tuple | list) and any(is_dataclass(item) for item in value):
        for place, item in enumerate(value):
            yield from _flat(item, path if len(value) == 1 else f"{path}.{place}")
    elif value is not None and value not in ("", (), []):
        yield path, list(value) if isinstance(value, tuple) else value


def _shown(key: str, value: Any) -> Any:
    """Return a value as it may be seen."""
    if isinstance(value, list):
        return [_shown(key, item) for item in value]
    if isinstance(value, dict):
        return {name: _shown(f"{key}.{name}", item) for name, item in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.startswith(_REFERENCES):
        return value
    if _SECRET.search(key.rpartition(".")[2]):
        return HIDDEN
    return _without_password(value) if isinstance(value, str) else value


def _without_password(text: str) -> str:
    """Return an address without what logs in there: user, password and query."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    user = f"{HIDDEN}@" if "@" in parts.netloc else ""
    return parts._replace(netloc=f"{user}{host}", query=HIDDEN if parts.query else "").geturl()
