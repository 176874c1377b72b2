"""Reading an image from where it is: a file or a URL, plain or compressed, as a stream of plain bytes.

The compression is told from the first bytes, never from the name. A stream that ends too early or does not
decompress raises ``SourceError``; memory stays bounded whatever the compression ratio.
"""

from __future__ import annotations

import http.client
import lzma
import urllib.error
import urllib.request
import zlib
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import zstandard

from hostler.images.fetch import outer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

READ_SIZE = 256 * 1024
OUTPUT_LIMIT = 1024 * 1024  # plain bytes taken from a decompressor at once
HTTP_SECONDS = 30.0  # without a byte from the server

_FOREIGN = {
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"QFI\xfb": "qcow2",
    b"KDMV": "VMDK",
    b"vhdxfile": "VHDX",
    b"\x3a\xff\x26\xed": "Android sparse",
}
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_BLOCKS = 8  # a block holds at most 128 KiB of plain bytes, so this many stay within OUTPUT_LIMIT


class SourceError(Exception):
    """The image cannot be read: absent, truncated, damaged or of an unknown kind. The message says which."""


class Source:
    """Plain bytes of an image, and how far its reading has come.

    Attributes:
        name: The path or URL.
        total: Length of the input as it is stored, in bytes; None if the server does not tell.
        taken: Bytes of the input read so far.
        compression: ``raw``, ``gzip``, ``xz`` or ``zstd``; known once the first block was read.
    """

    def __init__(self, name: str, total: int | None, read: Callable[[int], bytes]) -> None:
        self.name = name
        self.total = total
        self.taken = 0
        self.compression = "raw"
        self._read = read

    def blocks(self) -> Iterator[bytes]:
        """Yield the plain bytes in blocks of at most about 1 MiB.

        Raises:
            SourceError: the input ends too early, does not decompress or is of a kind not known here.
        """
        head = b""
        while len(head) < 16 and (more := self._take()):
            head += more
        for magic, kind in _FOREIGN.items():
            if head.startswith(magic):
                raise SourceError(
                    f"{self.name}: this is a {kind} file; give a raw disk image, plain or as gzip, xz or zstd"
                )
        self.compression, decode = _sniff(head)
        try:
            yield from decode(self._input(head))
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError, _DamagedError) as error:
            raise SourceError(f"{self.name}: the {self.compression} data is damaged: {error}") from error
        except EOFError as error:
            raise SourceError(
                f"{self.name}: the {self.compression} data ends too early, after {self.taken} bytes"
            ) from error

    def stored(self) -> Iterator[bytes]:
        """Yield the bytes as they are stored, whatever they are; raises SourceError as ``blocks`` does."""
        return self._input(b"")

    def _input(self, head: bytes) -> Iterator[bytes]:
        yield head
        while data := self._take():
            yield data

    def _take(self) -> bytes:
        try:
            data = self._read(READ_SIZE)
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{self.name}: cannot be read after {self.taken} bytes: {error}") from error
        self.taken += len(data)
        if not data and self.total is not None and self.taken < self.total:
            raise SourceError(f"{self.name}: ends after {self.taken} of {self.total} bytes")
        return data


@contextmanager
def open_source(location: Path | str, barred: Collection[str] | None = None) -> Iterator[Source]:
    """Open a local path, or a URL that begins with ``http://`` or ``https://``.

    Args:
        location: The path or URL.
        barred: Hosts that a URL must not lead to, besides this one; None: it may lead anywhere.

    Raises:
        SourceError: there is no such file, it may not be read, or the server refuses it.
    """
    name = str(location)
    if name.startswith(("http://", "https://")):
        try:
            # The scheme is checked above.
            if barred is None:
                response = urllib.request.urlopen(name, timeout=HTTP_SECONDS)  # noqa: S310
            else:
                response = outer(barred).open(name, timeout=HTTP_SECONDS)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SourceError(f"{name}: {error}") from error
        with closing(response):
            length = response.headers.get("Content-Length")
            yield Source(name, int(length) if length and length.isdigit() else None, response.read)
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(location).open("rb", buffering=0))
            total = file.seek(0, 2)  # also right for a block device
            file.seek(0)
        except OSError as error:
            raise SourceError(f"{name}: {error.strerror}") from error
        yield Source(name, total, file.read)


class _DamagedError(Exception):
    pass


class _Member(Protocol):
    """One gzip member or xz stream being decompressed, with bounded output."""

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


class _Xz:
    def __init__(self) -> None:
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ)

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data, OUTPUT_LIMIT)

    @property
    def ended(self) -> bool:
        return self._inner.eof

    @property
    def hungry(self) -> bool:
        return self._inner.needs_input

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data


def _sniff(head: bytes) -> tuple[str, Callable[[Iterator[bytes]], Iterator[bytes]]]:
    if head.startswith(b"\x1f\x8b"):
        return "gzip", lambda data: _members(data, _Gzip)
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz", lambda data: _members(data, _Xz)
    if head.startswith(_ZSTD_MAGIC) or _is_skippable(head[:4]):
        return "zstd", _zstd
    return "raw", lambda data: data


def _members(data: Iterator[bytes], make: Callable[[], _Member]) -> Iterator[bytes]:
    """Decompress concatenated gzip members or xz streams; zeros after the last one are padding."""
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


def _zstd(data: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress zstd frames (RFC 8878), a few blocks at a time.

    The library's own streams either give output without bound or take a truncated input for a whole one, so
    the blocks are counted here: 18 bytes of frame header at most, then blocks with a header of 3 bytes each.
    """
    cursor = _Bytes(data)
    while magic := cursor.peek(4):
        if _is_skippable(magic):
            cursor.take(4)
            left = int.from_bytes(cursor.take(4), "little")
            while left:
                left -= len(cursor.take(min(left, READ_SIZE)))
            continue
        if magic != _ZSTD_MAGIC:
            if len(magic) < 4:
                raise EOFError
            raise _DamagedError(f"no frame begins with {magic.hex()}")
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
