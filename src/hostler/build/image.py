"""What a built disk image is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskImage:
    """A built disk image.

    Attributes:
        name: ``tiny`` or ``debian``.
        arch: ``amd64`` or ``arm64``.
        path: Raw image, a sparse file.
        size: Its bytes, holes included.
        record: JSON file with the packages, their versions and hashes.
        prompt: Regular expression of the login prompt on the serial console.
    """

    name: str
    arch: str
    path: Path
    size: int
    record: Path
    prompt: str
