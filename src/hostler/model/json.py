"""The shape of everything that crosses a seam: plain JSON values."""

from __future__ import annotations

from typing import TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""Any JSON value."""

Document: TypeAlias = "dict[str, JSON]"
"""A JSON object."""
