"""Installing on raw flash: only the erase blocks that differ are erased and written, and read back.

Flash wears out by erasing and takes its time for it, so what is there is read first. A chunk that lies there
already is not fetched either.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import zstandard

from hostler.agent.extents import DamagedError, frame_limit, unpack
from hostler.agent.work import DiskFaultError, ImageFaultError, TooLargeError
from hostler.agent.writing import CHUNK_TRIES

if TYPE_CHECKING:
    from hostler.agent.mtd import Flash
    from hostler.agent.work import Work
    from hostler.agent.writing import ChunkSource
    from hostler.model.chunkindex import Chunk, ChunkIndex
    from hostler.model.json import Document

_ERASED = 0xFF
_TRIES = 2


class OpenFlash(Protocol):
    """A flash as ``KernelFlash`` has it."""

    @property
    def flash(self) -> Flash:
        """Which it is."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return what lies there."""
        ...

    def erase(self, offset: int, length: int) -> None:
        """Make all bits one."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Make bits zero."""
        ...


@dataclass(slots=True)
class Flashed:
    """What was done; ``to_json`` is part of the step's result.

    Attributes:
        erased_bytes: What was erased.
        written_bytes: What was written and read back.
        kept_bytes: Bytes of the image in blocks that were as they should be.
        fetched_bytes: Bytes of the frames that came over the network.
    """

    erased_bytes: int = 0
    written_bytes: int = 0
    kept_bytes: int = 0
    fetched_bytes: int = 0

    def to_json(self) -> Document:
        """Return it as a JSON object."""
        return asdict(self)


def install_flash(index: ChunkIndex, flash: OpenFlash, source: ChunkSource, work: Work) -> Flashed:
    """Have an image at the beginning of a flash; what lies behind its end stays, in its last block too.

    Args:
        index: The image.
        flash: Where to.
        source: Where its chunks come from.
        work: Takes progress and log.

    Raises:
        TooLargeError: The image does not fit; nothing was written.
        ImageFaultError: A chunk is not to be had.
        DiskFaultError: The flash does not keep what is written.
    """
    kind = flash.flash
    if index.size > kind.size:
        raise TooLargeError(f"the image needs {index.size} bytes, but {kind} has only {kind.size}")
    result = Flashed()
    image = _Image(index, source, result, flash)
    block = kind.erase_bytes
    work.begin("executing", index.size)
    for begin in range(0, index.size, block):
        length = min(block, kind.size - begin)
        present = flash.read(begin, length)
        of_image = min(length, index.size - begin)
        if image.is_at(begin, present[:of_image]):
            result.kept_bytes += of_image
        else:
            wanted = image.read(begin, of_image) + present[of_image:]
            if wanted == present:
                result.kept_bytes += of_image
            else:
                _put(flash, begin, present, wanted, result, work)
        work.advance(of_image)
    return result


def _put(flash: OpenFlash, begin: int, present: bytes, wanted: bytes, result: Flashed, work: Work) -> None:
    """Have a block read as it should."""
    erased = bytes([_ERASED]) * len(wanted)
    for tries in range(1, _TRIES + 1):
        if present != erased:
            flash.erase(begin, len(wanted))
            result.erased_bytes += len(wanted)
        flash.write(begin, wanted)
        result.written_bytes += len(wanted)
        present = flash.read(begin, len(wanted))
        if present == wanted:
            return
        if tries < _TRIES:
            work.say(f"install: {flash.flash} reads back differently at {begin}; writing it once more")
    at = begin + next(n for n, (has, should) in enumerate(zip(present, wanted, strict=True)) if has != should)
    raise DiskFaultError(f"{flash.flash} does not keep what is written: byte {at} differs after two attempts")


class _Image:
    """The bytes of an image by offset, of which only what is asked for is fetched."""

    def __init__(self, index: ChunkIndex, source: ChunkSource, result: Flashed, flash: OpenFlash) -> None:
        self._index = index
        self._chunks = {chunk.offset: chunk for chunk in index}
        self._there = {
            chunk.offset
            for chunk in index
            if hashlib.sha256(flash.read(chunk.offset, chunk.length)).hexdigest() == chunk.digest
        }
        self._source = source
        self._result = result
        self._frame = memoryview(bytearray(frame_limit(index.chunk_size)))
        self._latest: tuple[int, bytes] = (-1, b"")

    def is_at(self, offset: int, present: bytes) -> bool:
        """Tell, as far as that is known without fetching, whether the image is this here."""
        return all(
            chunk.offset in self._there
            if chunk is not None
            else not any(present[place - offset : place - offset + len(part)])
            for place, chunk, part in self._parts(offset, len(present))
        )

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the image."""
        data = bytearray()
        for _, chunk, part in self._parts(offset, length):
            data += self._plain(chunk)[part.start : part.stop] if chunk is not None else bytes(len(part))
        return bytes(data)

    def _parts(self, offset: int, length: int) -> list[tuple[int, Chunk | None, range]]:
        """Return the parts of a range: where each is, its chunk (None: zeros), and which of its bytes."""
        grid = self._index.chunk_size
        found, end = [], offset + length
        while offset < end:
            start = offset // grid * grid
            stop = min(start + grid, end)
            found.append((offset, self._chunks.get(start), range(offset - start, stop - start)))
            offset = stop
        return found

    def _plain(self, chunk: Chunk) -> bytes:
        if self._latest[0] != chunk.offset:
            self._latest = (chunk.offset, self._fetched(chunk))
        return self._latest[1]

    def _fetched(self, chunk: Chunk) -> bytes:
        problem = ""
        plain = bytearray(chunk.length)
        for _ in range(CHUNK_TRIES):
            length = self._source.chunk(chunk.digest, self._frame)
            self._result.fetched_bytes += length
            try:
                unpack(chunk, self._frame[:length], zstandard.ZstdDecompressor(), memoryview(plain))
            except DamagedError as error:
                problem = str(error)
            else:
                return bytes(plain)
        raise ImageFaultError(
            f"chunk {chunk.digest} at {chunk.offset} arrived damaged {CHUNK_TRIES} times and was not "
            f"written: {problem}"
        )
