"""How much of the image store's file system is left alone."""

from __future__ import annotations

_KEPT_FREE = 1 << 30


def kept_free(total: int) -> int:
    """Return the bytes that stay free on a file system of so many: the lab's own records are there too."""
    return min(_KEPT_FREE, total // 20)
