"""Where a capture's chunks wait in the image store until its index is there."""

from __future__ import annotations

from pathlib import PurePath

PREFIX = "capture-"
INDEX_FILE = "index"
"""The chunk index in a spool; every other file is a zstd frame under the SHA-256 of its plain bytes."""


def spool_name(run: str, step: int) -> str:
    """Return the folder of a step's spool, below the store's ``tmp``; ValueError: no run has such an id."""
    name = f"{PREFIX}{run}-{step}"
    if PurePath(name).name != name:
        raise ValueError(f"{run!r} is no run's id")
    return name
