"""What is told of the store of images: how two images differ, what is damaged, what was cleared away."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Share:
    """Distinct chunks: how many, their plain bytes, and their bytes as stored."""

    chunks: int
    bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class ImageDiff:
    """How an image differs from another one.

    Attributes:
        shared: Chunks that both have, wherever in them.
        gone: Chunks that only the first has.
        new: Chunks that only the second has: what travels when it is put over the first.
        stretches: Offset and length of every stretch, on the grid, in which the second is not as the first:
            what is written then, or made a hole.
        differing_bytes: Sum of their lengths.
    """

    shared: Share
    gone: Share
    new: Share
    stretches: tuple[tuple[int, int], ...]
    differing_bytes: int


class FaultKind(StrEnum):
    """What is wrong with something the store should hold."""

    MISSING = "missing"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class StoreFault:
    """Something that is not as it should be.

    Attributes:
        kind: What is wrong.
        id: Digest of the chunk, or id of the artefact.
        artefacts: The indexes whose images need the chunk; of an artefact itself.
        chunk: Whether it is a chunk.
        text: What was found, where there is more to say.
    """

    kind: FaultKind
    id: str
    artefacts: tuple[str, ...]
    chunk: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look through the store found.

    Attributes:
        chunks: Chunks decompressed and hashed.
        artefacts: Other files hashed, indexes among them.
        read_bytes: Bytes read, as stored.
        faults: What is wrong; empty: everything is as it should be.
    """

    chunks: int
    artefacts: int
    read_bytes: int
    faults: tuple[StoreFault, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed, or would remove.

    Attributes:
        artefacts: Files of no image, indexes among them.
        chunks: Chunks no index speaks of.
        unfinished: Imports and copies that a crash cut off.
        damaged: Chunks set aside because they were not what their name says.
        freed_bytes: Bytes of all these.
        kept_for: The index that cannot be read, for whose sake no chunk was removed; or empty.
    """

    artefacts: int = 0
    chunks: int = 0
    unfinished: int = 0
    damaged: int = 0
    freed_bytes: int = 0
    kept_for: str = ""
