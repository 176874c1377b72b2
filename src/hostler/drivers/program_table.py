"""Which program a table names, with what arguments and variables: every complaint names its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverConfigError
from hostler.drivers.secrets import SecretReference

if TYPE_CHECKING:
    from collections.abc import Mapping


def arguments(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    """Return program and arguments under ``key``, none when it is not there.

    Raises:
        DriverConfigError: When it is something else than a list of non-empty texts.
    """
    value = table.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(part, str) and part for part in value):
        raise DriverConfigError(key, f'must be a list like ["program", "argument"], not {value!r}')
    if "\0" in "".join(value):
        raise DriverConfigError(key, "must not hold a zero byte")
    return tuple(value)


def environment(table: Mapping[str, object]) -> dict[str, SecretReference]:
    """Return the variables a program gets, under ``environment``.

    Raises:
        DriverConfigError: For a name that no variable can have, or a value that is no reference to a secret.
    """
    value = table.get("environment", {})
    if not isinstance(value, dict):
        raise DriverConfigError(
            "environment", f'must be a table like {{ NAME = "env:SECRET" }}, not {value!r}'
        )
    for name in value:
        if not name or "=" in name or "\0" in name:
            raise DriverConfigError("environment", f"has a name that no variable can have: {name!r}")
    return {name: SecretReference.parse("environment", reference) for name, reference in value.items()}
