"""What ``tarfile`` reads a tar from: forwards alone, and headers within bounds.

What headers make of memory and of time is bounded before ``tarfile`` takes them apart: it believes them.
"""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING

from hostler.images.unpack import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_HEADER = 256 * 1024
"""Bytes of headers before one member: a path, attributes and a sparse map need some kilobytes."""
_MOST_IN_A_ROW = 16
"""Headers of one member; GNU tar and pax write up to four. ``tarfile`` calls itself for each."""
_MOST_GLOBAL = 64 * 1024
"""Bytes of all global headers: ``tarfile`` keeps them, and copies them for each member."""
_LONG_NUMBER = re.compile(rb"[0-9]{256}")
"""tarfile before 3.11.10 takes time by the square of such a number's length, with the interpreter locked."""
_RECORD_LENGTH = re.compile(rb"([0-9]{1,7}) ")
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_PIECE = 256 * 1024


class TarFeed:
    """An iterator of bytes as the file that ``tarfile`` reads."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._held = b""
        self._place = 0
        self._at = 0
        self._last = b""
        self._header: int | None = 0
        self._in_a_row = 0
        self._records = b""  # the kind of the pax header whose records are read next
        self._global = 0

    def before_header(self) -> None:
        """What is read now is a header."""
        self._header = self._in_a_row = 0

    def before_data(self) -> None:
        """What is read now is what a member holds."""
        self._header = None

    def has_header(self, kind: bytes) -> None:
        """A header of this kind was read; raises DamagedError when it is one of too many in a row."""
        self._in_a_row += 1
        if self._in_a_row > _MOST_IN_A_ROW:
            raise DamagedError(f"tar: a member has more than {_MOST_IN_A_ROW} headers")
        self._records = kind if kind in _PAX else b""

    def tell(self) -> int:
        """Return how much was read."""
        return self._at

    def seek(self, place: int) -> int:
        """Go forward; raises ReadError for a place that is behind, which only lies about lengths give."""
        if place < self._at:
            raise tarfile.ReadError("its lengths contradict each other")
        while self._at < place and self._take(min(_PIECE, place - self._at)):
            pass
        return self._at

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, fewer only at the end; DamagedError: a header is out of bounds."""
        if self._header is not None:
            self._header += size
            if size < 0 or self._header > _MOST_HEADER:
                raise DamagedError(f"tar: a header has more than {_MOST_HEADER} bytes")
        pieces = []
        left = size
        while left and (piece := self._take(left)):
            pieces.append(piece)
            left -= len(piece)
        found = b"".join(pieces)
        if self._header is not None:
            self._check_header(found)
        return found

    def at_end(self) -> None:
        """Check that tarfile stopped at the end mark, and neither at damage nor where the stream ends."""
        if self._last != bytes(tarfile.BLOCKSIZE):
            if self._take(1):
                raise DamagedError(f"tar: before byte {self._at} a header is not one")
            raise EOFError

    def drain(self, beat: Callable[[], None]) -> None:
        """Read what comes behind the end mark."""
        while self._take(_PIECE):
            beat()

    def _check_header(self, found: bytes) -> None:
        if _LONG_NUMBER.search(found):
            raise DamagedError("tar: a header has an endless number")
        if not self._records:
            return
        _check_records(found)
        if self._records == tarfile.XGLTYPE:
            self._global += len(found)
            if self._global > _MOST_GLOBAL:
                raise DamagedError(f"tar: its global headers have more than {_MOST_GLOBAL} bytes")
        self._records = b""

    def _take(self, most: int) -> bytes:
        if self._place == len(self._held):
            self._held, self._place = next(self._blocks, b""), 0
        piece = self._held[self._place : self._place + most]
        self._place += len(piece)
        self._at += len(piece)
        self._last = (self._last + piece[-tarfile.BLOCKSIZE :])[-tarfile.BLOCKSIZE :]
        return piece


def opened(feed: TarFeed) -> tarfile.TarFile:
    """Open a tar; its headers tell the feed what they are."""
    return tarfile.open(fileobj=feed, mode="r:", encoding="utf-8", tarinfo=_Header)  # type: ignore[call-overload,no-any-return]


class _Header(tarfile.TarInfo):
    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Be called for each header, as ``tarfile`` has it for subclasses."""
        archive.fileobj.has_header(self.type)  # type: ignore[attr-defined]
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]


def _check_records(found: bytes) -> None:
    """Raise DamagedError unless each record of a pax header has its keyword, and its end, within its length.

    tarfile before 3.11.10 takes keywords beyond it: each of many short records the whole rest of the header.
    """
    at = 0
    while at < len(found) and found[at]:
        length = _RECORD_LENGTH.match(found, at)
        end = at + int(length[1]) if length else at
        if length is None or found.find(b"=", length.end() + 1, end) < 0 or found[end - 1 : end] != b"\n":
            raise DamagedError("tar: a pax header is not one")
        at = end
