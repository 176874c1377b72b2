"""Plain bytes out of a stream: the forms that can be read from front to back, with bounded memory.

Each is told from its first bytes, never from a name. A stream that ends too early raises ``EOFError``, one
that is damaged ``DamagedError``.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, Any, Protocol

import lz4.frame
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ_SIZE = 256 * 1024
OUTPUT_LIMIT = 1024 * 1024  # plain bytes taken from a decompressor at once

MAX_IMAGE = 64 * 1024**4
"""No image is larger than 64 TiB: what unpacks to more is a mistake or an attack."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_BLOCKS = 8  # a block holds at most 128 KiB of plain bytes, so this many stay within OUTPUT_LIMIT
_XZ_MEMORY = 256 * 1024 * 1024  # bytes; `xz -9` needs 65 MiB, and a header may ask for 4 GiB
_SPARSE_MAGIC = b"\x3a\xff\x26\xed"
HEAD = 512
"""Bytes that tell every form: the longest header looked at, that of a tar."""

ERRORS = (zlib.error, lzma.LZMAError, zstandard.ZstdError)


class DamagedError(Exception):
    """The data is not what its header says; the text says how."""


def sniff(head: bytes) -> tuple[str, Callable[[Iterator[bytes]], Iterator[bytes]]] | None:
    """Return the name of a form and what reads it; None: none of those known here."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip", lambda data: _members(data, _Gzip)
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2", lambda data: _members(data, _Bzip2)
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz", lambda data: _members(data, _Xz)
    if head.startswith(b"\x04\x22\x4d\x18"):
        return "lz4", lambda data: _members(data, _Lz4)
    if head.startswith(_ZSTD_MAGIC) or _is_skippable(head[:4]):
        return "zstd", _zstd
    if head.startswith(_SPARSE_MAGIC):
        return "Android sparse", _android_sparse
    return None


def peeked(data: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes of a stream, and the whole stream."""
    held: list[bytes] = []
    length = 0
    for piece in data:
        held.append(piece)
        length += len(piece)
        if length >= HEAD:
            break
    head = b"".join(held)

    def whole() -> Iterator[bytes]:
        if head:
            yield head
        yield from data

    return head[:HEAD], whole()


class _Member(Protocol):
    """One member, stream or frame being decompressed, with bounded output."""

    def feed(self, data: bytes) -> bytes: ...

    @property
    def ended(self) -> bool: ...

    @property
    def hungry(self) -> bool: ...

    @property
    def unused(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, OUTPUT_LIMIT)

    @property
    def ended(self) -> bool:
        return self._inner.eof

    @property
    def hungry(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data


class _Bounded:
    """A member whose library bounds its output by itself."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def feed(self, data: bytes) -> bytes:
        try:
            return bytes(self._inner.decompress(data, OUTPUT_LIMIT))
        except (OSError, RuntimeError) as error:  # bz2 and lz4 have no errors of their own
            raise DamagedError(str(error)) from error

    @property
    def ended(self) -> bool:
        return bool(self._inner.eof)

    @property
    def hungry(self) -> bool:
        return bool(self._inner.needs_input)

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data or b""


def _Xz() -> _Bounded:  # noqa: N802 - makes one, as a class would
    return _Bounded(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))


def _Bzip2() -> _Bounded:  # noqa: N802
    return _Bounded(bz2.BZ2Decompressor())


def _Lz4() -> _Bounded:  # noqa: N802
    return _Bounded(lz4.frame.LZ4FrameDecompressor())  # type: ignore[no-untyped-call]


def _members(data: Iterator[bytes], make: Callable[[], _Member]) -> Iterator[bytes]:
    """Decompress concatenated members; zeros after the last one are padding."""
    member: _Member | None = make()
    for piece in data:
        rest = piece
        while rest or (member is not None and not member.hungry):
            if member is None:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                member = make()
            if out := member.feed(rest):
                yield out
            rest = b""
            if member.ended:
                rest, member = member.unused, None
    while member is not None and (out := member.feed(b"")):
        yield out
        member = None if member.ended else member
    if member is not None and not member.ended:
        raise EOFError


def _is_skippable(magic: bytes) -> bool:
    return len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50


class _Bytes:
    """A cursor over an iterator of bytes."""

    def __init__(self, data: Iterator[bytes]) -> None:
        self._data = data
        self._held = bytearray()

    def take(self, count: int) -> bytes:
        """Return exactly that many bytes; raises EOFError if there are fewer."""
        self.peek(count)
        if len(self._held) < count:
            raise EOFError
        out = bytes(self._held[:count])
        del self._held[:count]
        return out

    def peek(self, count: int) -> bytes:
        """Return that many bytes, or fewer at the end, and leave them there."""
        while len(self._held) < count:
            piece = next(self._data, b"")
            if not piece:
                break
            self._held += piece
        return bytes(self._held[:count])

    def skip(self, count: int) -> None:
        """Leave out that many bytes."""
        while count:
            count -= len(self.take(min(count, READ_SIZE)))


def _zstd(data: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress zstd frames (RFC 8878), a few blocks at a time.

    The library's own streams either give output without bound or take a truncated input for a whole one, so
    the blocks are counted here: 18 bytes of frame header at most, then blocks with a header of 3 bytes each.
    """
    cursor = _Bytes(data)
    while magic := cursor.peek(4):
        if _is_skippable(magic):
            cursor.take(4)
            cursor.skip(int.from_bytes(cursor.take(4), "little"))
            continue
        if magic != _ZSTD_MAGIC:
            if len(magic) < 4:
                raise EOFError
            raise DamagedError(f"no frame begins with {magic.hex()}")
        header = cursor.take(zstandard.frame_header_size(cursor.peek(18)))
        checksum = zstandard.get_frame_parameters(header).has_checksum
        inner = zstandard.ZstdDecompressor().decompressobj()
        pending, blocks, last = [header], 0, False
        while not last:
            head = cursor.take(3)
            word = int.from_bytes(head, "little")
            last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
            pending += [head, cursor.take(1 if kind == 1 else size)]  # kind 1: one byte, repeated
            blocks += 1
            if last and checksum:
                pending.append(cursor.take(4))
            if last or blocks == _ZSTD_BLOCKS:
                if out := inner.decompress(b"".join(pending)):
                    yield out
                pending, blocks = [], 0
        if not inner.eof:
            raise EOFError


# Android's system/core/libsparse/sparse_format.h.
_SPARSE_HEADER = struct.Struct("<4s4H4I")
_SPARSE_CHUNK = struct.Struct("<2H2I")
_RAW, _FILL, _NOTHING, _CHECKSUM = 0xCAC1, 0xCAC2, 0xCAC3, 0xCAC4


def _android_sparse(data: Iterator[bytes]) -> Iterator[bytes]:
    """Expand an Android sparse image; what it does not care about becomes zeros."""
    cursor = _Bytes(data)
    fields = _SPARSE_HEADER.unpack(cursor.take(_SPARSE_HEADER.size))
    _, major, _, header_size, chunk_header_size, block, blocks, chunks, _ = fields
    if major != 1 or not 0 < block <= OUTPUT_LIMIT or block % 4:
        raise DamagedError(f"version {major} with blocks of {block} bytes")
    if header_size < _SPARSE_HEADER.size or chunk_header_size < _SPARSE_CHUNK.size:
        raise DamagedError("its headers are too short")
    cursor.skip(header_size - _SPARSE_HEADER.size)
    if blocks * block > MAX_IMAGE:
        raise DamagedError(f"it promises {blocks * block} bytes")
    done = 0
    for _ in range(chunks):
        kind, _, count, total = _SPARSE_CHUNK.unpack(cursor.take(_SPARSE_CHUNK.size))
        cursor.skip(chunk_header_size - _SPARSE_CHUNK.size)
        body = total - chunk_header_size
        expected = {_RAW: count * block, _FILL: 4, _NOTHING: 0, _CHECKSUM: 4}.get(kind)
        if body != expected:
            raise DamagedError(f"a chunk of kind {kind:#x} with {body} bytes for {count} blocks")
        if kind == _CHECKSUM:
            cursor.skip(4)
            continue
        done += count
        if done > blocks:
            raise DamagedError(f"more than the {blocks} blocks that its header says")
        pattern = cursor.take(4) if kind == _FILL else bytes(4)
        left = count * block
        while left:
            size = min(left, OUTPUT_LIMIT)
            yield cursor.take(size) if kind == _RAW else pattern * (size // 4)
            left -= size
    if done < blocks:
        raise DamagedError(f"{done} blocks, not the {blocks} that its header says")
