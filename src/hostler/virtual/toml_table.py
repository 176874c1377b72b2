"""A TOML table that knows where it is, so that a complaint names file and key."""

from __future__ import annotations

import re
from typing import TypeVar

T = TypeVar("T")


class VirtualConfigError(Exception):
    """virtual.toml is wrong; the text says file, key and what to write instead."""


class Table:
    """A TOML table that knows where it is."""

    def __init__(self, path: str, where: str, values: dict[str, object]) -> None:
        self._path = path
        self._where = where
        self._values = values

    def wrong(self, key: str, problem: str) -> VirtualConfigError:
        """Return the complaint about ``key``."""
        return VirtualConfigError(f"{self._path}: {self._where}{key}: {problem}")

    def only(self, *known: str) -> None:
        """Check that there is no other key.

        Raises:
            VirtualConfigError: There is.
        """
        for key in self._values:
            if key not in known:
                raise self.wrong(key, f"unknown key; known here: {', '.join(known)}")

    def has(self, key: str) -> bool:
        """Return whether ``key`` is there."""
        return key in self._values

    def table(self, key: str) -> Table:
        """Return the table ``key``.

        Raises:
            VirtualConfigError: There is none.
        """
        value = self._values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, f"the table [{self._where}{key}] is missing")
        return Table(self._path, f"{self._where}{key}.", value)

    def tables(self, key: str) -> list[Table]:
        """Return the tables ``[[key]]``.

        Raises:
            VirtualConfigError: There is none.
        """
        value = self._values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, f"there must be at least one [[{key}]]")
        return [Table(self._path, f"{self._where}{key}[{index}].", item) for index, item in enumerate(value)]

    def text(self, key: str, default: str | None = None, pattern: str = r".+") -> str:
        """Return a text that matches ``pattern`` whole.

        Raises:
            VirtualConfigError: It does not, or there is none and no default.
        """
        value = self._typed(key, str, default)
        if value != default and not re.fullmatch(pattern, value):
            raise self.wrong(key, f"must match {pattern}, not {value!r}")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        """Return one of the texts ``known``.

        Raises:
            VirtualConfigError: It is another.
        """
        value = self._typed(key, str, default)
        if value not in known:
            raise self.wrong(key, f"must be one of {', '.join(known)}, not {value!r}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false when ``key`` is not there.

        Raises:
            VirtualConfigError: It is something else.
        """
        return self._typed(key, bool, False)

    def number(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """Return a whole number from ``least`` to ``most``.

        Raises:
            VirtualConfigError: It is something else.
        """
        value = self._typed(key, int, default)
        if isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"must be a whole number from {least} to {most}, not {value!r}")
        return value

    def address(self, key: str, default: str | None = None) -> tuple[str, int]:
        """Return host and port of a text ``host:port``.

        Raises:
            VirtualConfigError: It is something else.
        """
        value = self._typed(key, str, default)
        host, _, port = value.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise self.wrong(key, f'must be "host:port", not {value!r}')
        return host, int(port)

    def _typed(self, key: str, kind: type[T], default: T | None) -> T:
        value = self._values.get(key, default)
        if value is None:
            raise self.wrong(key, "is missing")
        if not isinstance(value, kind):
            raise self.wrong(key, f"must be a {kind.__name__}, not {value!r}")
        return value
