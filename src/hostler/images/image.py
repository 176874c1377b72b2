"""The document of an image: what it is called, where it runs, which bytes, and what counts as done."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hostler.model.chunkindex import MAX_CHUNK_SIZE, MAX_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.model.json import JSON, Document

T = TypeVar("T")

ARCHITECTURES = ("amd64", "arm64")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,62}")
_ID = re.compile(r"[0-9a-f]{64}")


class ImageError(ValueError):
    """An image document is not valid; the message names the key and what it should be."""


@dataclass(frozen=True, slots=True)
class Done:
    """When a board that boots the image is up.

    Attributes:
        console: Regular expression that a line on the console must match (searched, not anchored).
        seconds: How long after power-on it may take.
    """

    console: str
    seconds: float

    def __post_init__(self) -> None:
        try:
            re.compile(self.console)
        except re.error as error:
            raise ImageError(f"done.console {self.console!r} is not a regular expression: {error}") from error
        if not 0 < self.seconds <= 86400:
            raise ImageError(f"done.seconds must be more than 0 and at most a day, not {self.seconds}")


@dataclass(frozen=True, slots=True)
class Image:
    """A named, versioned image for the boards of one architecture.

    Attributes:
        name: Lower-case name, for example ``debian``.
        version: For example ``12.11``; name and version together are unique in a catalogue.
        arch: ``amd64`` or ``arm64``.
        platforms: Platforms it boots on, for example ``("x86-bios", "x86-uefi")``.
        index: Artefact id of its chunk index.
        size: Bytes it needs on a disk.
        chunk_size: Grid of its index in bytes.
        data_bytes: Bytes of it that are not holes.
        done: What counts as done.
    """

    name: str
    version: str
    arch: str
    platforms: tuple[str, ...]
    index: str
    size: int
    chunk_size: int
    data_bytes: int
    done: Done

    def __post_init__(self) -> None:
        _check(
            bool(_NAME.fullmatch(self.name)), "name", self.name, "lower-case letters, digits, '.', '_', '-'"
        )
        _check(bool(_VERSION.fullmatch(self.version)), "version", self.version, "letters, digits, '._+~-'")
        _check(self.arch in ARCHITECTURES, "arch", self.arch, f"one of {', '.join(ARCHITECTURES)}")
        _check(
            bool(self.platforms) and all(_NAME.fullmatch(platform) for platform in self.platforms),
            "platforms",
            list(self.platforms),
            "at least one name of a platform",
        )
        _check(
            bool(_ID.fullmatch(self.index)), "index", self.index, "an artefact id (64 lower-case hex digits)"
        )
        _check(0 < self.size <= MAX_SIZE, "size", self.size, "the size of a disk image in bytes")
        _check(0 < self.chunk_size <= MAX_CHUNK_SIZE, "chunk_size", self.chunk_size, "a chunk size in bytes")
        _check(0 <= self.data_bytes <= self.size, "data_bytes", self.data_bytes, "between 0 and size")

    def to_json(self) -> Document:
        """Return the image as a JSON object."""
        return {
            "name": self.name,
            "version": self.version,
            "arch": self.arch,
            "platforms": list(self.platforms),
            "index": self.index,
            "size": self.size,
            "chunk_size": self.chunk_size,
            "data_bytes": self.data_bytes,
            "done": {"console": self.done.console, "seconds": self.done.seconds},
        }

    @classmethod
    def from_json(cls, document: Document) -> Image:
        """Read what ``to_json`` wrote.

        Raises:
            ImageError: a key is missing, unknown or of the wrong kind.
        """
        done = _take(document, "done", dict)
        return cls(
            name=_take(document, "name", str),
            version=_take(document, "version", str),
            arch=_take(document, "arch", str),
            platforms=tuple(str(platform) for platform in _take(document, "platforms", list)),
            index=_take(document, "index", str),
            size=_take(document, "size", int),
            chunk_size=_take(document, "chunk_size", int),
            data_bytes=_take(document, "data_bytes", int),
            done=Done(
                console=_take(done, "console", str, "done."), seconds=_take(done, "seconds", float, "done.")
            ),
        )


def _take(document: Mapping[str, JSON], key: str, kind: type[T], where: str = "") -> T:
    value = document.get(key)
    if kind is float and isinstance(value, int):
        value = float(value)
    if not isinstance(value, kind) or isinstance(document.get(key), bool):
        raise ImageError(
            f"image document: {where}{key} is {'missing' if key not in document else repr(value)}"
        )
    return value


def _check(holds: bool, key: str, value: object, wanted: str) -> None:
    if not holds:
        raise ImageError(f"image document: {key} = {value!r}, wanted: {wanted}")
