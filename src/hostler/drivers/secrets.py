"""References to secrets: configuration says where a secret is, never what it is.

A reference is resolved when it is used, so that a rotated secret needs no restart and a
configuration can be checked on a machine that does not hold its secrets.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hostler.drivers.errors import DriverConfigError


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is.

    Attributes:
        key: The configuration key that holds the reference, for messages.
        kind: ``env`` or ``file``.
        name: Name of the environment variable, or path of the file.
    """

    key: str
    kind: str
    name: str

    @classmethod
    def parse(cls, key: str, value: object) -> SecretReference:
        """Read ``env:NAME`` or ``file:PATH``.

        Raises:
            DriverConfigError: For anything else. It never repeats the value: that may be the secret.
        """
        if isinstance(value, str):
            kind, colon, name = value.partition(":")
            if colon and name and kind in ("env", "file"):
                return cls(key, kind, name)
        raise DriverConfigError(
            key,
            "must say where the secret is, not what it is: put it into an environment variable and write "
            '"env:NAME", or into a file with mode 0600 and write "file:PATH"',
        )

    def reveal(self) -> str:
        """Return the secret itself; a file's surrounding white space is not part of it.

        Raises:
            DriverConfigError: When the variable is not set, or the file cannot be read or is empty.
        """
        if self.kind == "env":
            value = os.environ.get(self.name, "")
            if not value:
                raise DriverConfigError(self.key, f"environment variable {self.name} is not set or empty")
            return value
        try:
            value = Path(self.name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DriverConfigError(self.key, f"cannot read the secret's file: {error}") from error
        if not value:
            raise DriverConfigError(self.key, f"the secret's file {self.name} is empty")
        return value

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"
