"""Block maps (`.bmap`), as `bmaptool` writes and reads them: which blocks of an image matter, and checksums.

Versions 1.0 to 2.0 are read, 2.0 is written (bmap-tools, BmapCreate.py and BmapCopy.py).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from hostler.images.source import DamagedSourceError, SourceError, open_source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from hostler.model.chunkindex import ChunkIndex

MOST_BYTES = 32 * 1024 * 1024
"""Longest block map: one of a million ranges has 100 MB, and no image is in such pieces."""
BLOCK = 4096
_HASHES = frozenset({"sha1", "sha256", "sha512"})
_FIELDS = frozenset(
    {"ImageSize", "BlockSize", "BlocksCount", "MappedBlocksCount", "ChecksumType", "BmapFileChecksum",
     "BmapFileSHA1", "Range"}
)  # fmt: skip
_RANGE = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?")


class BmapError(SourceError):
    """A block map cannot be used, or does not belong to the image; the text says why."""


class MapChecksumError(BmapError, DamagedSourceError):
    """The image or its block map is spoiled, or they do not belong to each other."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A range that matters.

    Attributes:
        start: Its first byte.
        end: The byte after its last one.
        checksum: Hexadecimal; empty: none is given.
    """

    start: int
    end: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Bmap:
    """A block map.

    Attributes:
        size: Bytes of the image.
        hash: Name of the hash of its checksums, as `hashlib` knows it.
        ranges: In ascending order, apart from each other; everything else is zeros.
    """

    size: int
    hash: str
    ranges: tuple[Mapped, ...]


def fetched(place: Path | str, barred: Collection[str] | None) -> bytes:
    """Return the text of a block map from a path or URL; raises SourceError as `open_source` does."""
    data = b""
    with open_source(place, barred) as source:
        for piece in source.stored():
            data += piece
            if len(data) > MOST_BYTES:
                raise BmapError(f"the block map has more than the {MOST_BYTES} bytes that are taken")
    return data


def read(data: bytes) -> Bmap:
    """Read a block map.

    Raises:
        BmapError: it is none, is damaged, or says what cannot be.
    """
    reader = _Reader()
    try:
        reader.parse(data)
        return reader.bmap(data)
    except (expat.ExpatError, ValueError, KeyError) as error:
        raise BmapError(f"the block map cannot be read: {_words(error)}") from error


def applied(data: Iterator[bytes], bmap: Bmap) -> Iterator[bytes]:
    """Yield an image with zeros where the map has nothing.

    Raises:
        BmapError: a range has another checksum, or the image another length, than the map says.
    """
    at = 0
    ranges = iter(bmap.ranges)
    current = next(ranges, None)
    digest = hashlib.new(bmap.hash, usedforsecurity=False)
    for block in data:
        view = memoryview(block)
        if at + len(view) > bmap.size:
            raise BmapError(_other(f"the image is longer than the {bmap.size} bytes of its block map"))
        while view:
            if current is None or at < current.start:
                stop = bmap.size if current is None else current.start
                piece, view = view[: stop - at], view[stop - at :]
                at += len(piece)
                yield bytes(len(piece))
                continue
            piece, view = view[: current.end - at], view[current.end - at :]
            at += len(piece)
            digest.update(piece)
            yield bytes(piece)
            if at == current.end:
                if current.checksum and digest.hexdigest() != current.checksum:
                    span = f"bytes {current.start} to {current.end - 1}"
                    raise MapChecksumError(
                        _other(f"{span} have another {bmap.hash} checksum than the map says")
                    )
                current = next(ranges, None)
                digest = hashlib.new(bmap.hash, usedforsecurity=False)
    if at < bmap.size:
        raise BmapError(_other(f"the image has {at} bytes, its block map speaks of {bmap.size}"))


def written(index: ChunkIndex) -> bytes:
    """Return the block map of an image; its ranges are chunks, whose digests are there already."""
    mapped = 0
    lines = []
    for chunk in index:
        first, last = chunk.offset // BLOCK, (chunk.offset + chunk.length - 1) // BLOCK
        mapped += last - first + 1
        lines.append(f'        <Range chksum="{chunk.digest}">{first}-{last}</Range>\n')
    blank = "0" * 64
    text = f"""<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize>{index.size}</ImageSize>
    <BlockSize>{BLOCK}</BlockSize>
    <BlocksCount>{-(-index.size // BLOCK)}</BlocksCount>
    <MappedBlocksCount>{mapped}</MappedBlocksCount>
    <ChecksumType>sha256</ChecksumType>
    <BmapFileChecksum>{blank}</BmapFileChecksum>
    <BlockMap>
{"".join(lines)}    </BlockMap>
</bmap>
"""
    return text.replace(blank, hashlib.sha256(text.encode()).hexdigest(), 1).encode()


def _other(what: str) -> str:
    return f"{what}: one of the two is damaged, or the map is of another version of the image"


def _words(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)


class _Reader:
    """Takes the few elements a block map has; no entities, which could grow without bound."""

    def __init__(self) -> None:
        self._version = ""
        self._fields: dict[str, str] = {}
        self._ranges: list[tuple[str, str]] = []
        self._name = ""
        self._text: list[str] = []
        self._checksum = ""

    def parse(self, data: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text_of
        parser.Parse(data, True)

    def bmap(self, data: bytes) -> Bmap:
        """Return what was read, once it fits together."""
        major, minor = (int(part) for part in self._version.split(".", 1))
        if major > 2:
            raise ValueError(f"version {self._version} is not known; versions to 2.0 are")
        size, block = int(self._fields["ImageSize"]), int(self._fields["BlockSize"])
        if size <= 0 or block <= 0 or int(self._fields["BlocksCount"]) != -(-size // block):
            raise ValueError("its image size, block size and number of blocks do not belong together")
        hash_name = ""
        if major == 2 or minor >= 4:
            hash_name = self._fields["ChecksumType"]
            self._check(data, hash_name, self._fields["BmapFileChecksum"])
        elif minor == 3:
            hash_name = "sha1"
            self._check(data, hash_name, self._fields["BmapFileSHA1"])
        found = Bmap(size, hash_name or "sha256", tuple(self._mapped(size, block)))
        if not hash_name:
            return replace(found, ranges=tuple(replace(one, checksum="") for one in found.ranges))
        return found

    def _mapped(self, size: int, block: int) -> Iterator[Mapped]:
        end = blocks = 0
        for text, checksum in self._ranges:
            match = _RANGE.fullmatch(text)
            if match is None:
                raise ValueError(f"{text[:40]!r} is no range of blocks")
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first or first * block < end or last * block >= size:
                raise ValueError(f"blocks {first} to {last} overlap others, or are beyond the end")
            blocks += last - first + 1
            end = (last + 1) * block
            yield Mapped(first * block, min(end, size), checksum)
        if blocks != int(self._fields["MappedBlocksCount"]):
            raise ValueError(
                f"it speaks of {self._fields['MappedBlocksCount']} mapped blocks and lists {blocks}"
            )

    def _check(self, data: bytes, hash_name: str, checksum: str) -> None:
        """Raise ValueError unless the map has this checksum, taken with zeros in its place."""
        if hash_name not in _HASHES:
            raise ValueError(f"checksums of kind {hash_name[:20]!r} are not known")
        blank = data.replace(checksum.encode(), b"0" * len(checksum), 1)
        if not checksum or hashlib.new(hash_name, blank, usedforsecurity=False).hexdigest() != checksum:
            raise ValueError("its own checksum is wrong; it was changed, or is damaged")

    def _doctype(self, *_: Any) -> None:
        raise ValueError("it has a document type, and no block map has one")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._version:
            self._version = attributes.get("version", "")
            if name != "bmap" or not re.fullmatch(r"\d{1,3}\.\d{1,3}", self._version):
                raise ValueError("it is no block map: it does not begin with <bmap version=…>")
        self._name = name
        self._text = []
        if name == "Range":
            self._checksum = (attributes.get("chksum") or attributes.get("sha1") or "").lower()

    def _text_of(self, text: str) -> None:
        if self._name in _FIELDS:
            self._text.append(text)

    def _end(self, name: str) -> None:
        if name == self._name == "Range":
            self._ranges.append(("".join(self._text), self._checksum))
        elif name == self._name and name in _FIELDS:
            self._fields[name] = "".join(self._text).strip()
        self._name = ""
