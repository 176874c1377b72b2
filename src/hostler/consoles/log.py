"""Everything a board ever said on its console, by boot, within bounds.

A folder for each boot; in it segments named by the offset of their first byte (``000000000000.log``),
raw, each with an index of (time, offset) pairs beside it (``.idx``). Of a boot that talks without end the
first segment is kept, where the boot is, and the last ones, where the trouble is; what lay between is a
gap that says how long it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import struct
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

SEGMENT_BYTES = 1 << 20
SEGMENTS_KEPT = 16
BOOTS_KEPT = 50
INDEX_SECONDS = 0.1
"""Bytes that come within this time of each other share a time stamp."""

_STAMP = struct.Struct("<dQ")
_BOOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A part of a boot's console.

    Attributes:
        offset: Where it begins in all that the boot said.
        data: The bytes, raw.
        next: Offset to read on from; equal to ``offset`` when there is no more yet.
        size: Bytes the boot said so far.
        missing: Bytes before ``offset`` that were asked for but are no longer kept.
    """

    offset: int
    data: bytes
    next: int
    size: int
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept of one board."""

    segment_bytes: int = SEGMENT_BYTES
    segments: int = SEGMENTS_KEPT
    boots: int = BOOTS_KEPT


class ConsoleLog:
    """The console log of one board. One writer; readers need no lock.

    Args:
        folder: The board's own folder; made if missing.
        bounds: How much is kept.
    """

    def __init__(self, folder: Path, bounds: Bounds = Bounds()) -> None:
        self._folder = folder
        self._bounds = bounds
        self._boot: str | None = None
        self._size = 0
        self._segment = 0
        self._data = -1
        self._index = -1
        self._stamped = float("-inf")
        self._broken = False
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def boot(self) -> str | None:
        """The boot that is being written."""
        return self._boot

    @property
    def size(self) -> int:
        """Bytes the present boot said so far."""
        return self._size

    def begin(self, boot: str) -> None:
        """Write to this boot from now on; continues it if it has been written before.

        Raises:
            ValueError: The boot's id cannot be a file name.
            OSError: The folder cannot be written.
        """
        self._close_files()
        self._boot = boot
        folder = self._of(boot)
        folder.mkdir(exist_ok=True)
        segments = _segments(folder)
        self._segment = segments[-1] if segments else 0
        self._size = self._segment
        with contextlib.suppress(FileNotFoundError):
            self._size += _data_path(folder, self._segment).stat().st_size
        self._open_files(folder)
        self._forget_boots()

    def append(self, data: bytes, now: float) -> None:
        """Add what the board said; a full disk loses bytes of the log, never the console itself."""
        if self._boot is None:
            raise ValueError("no boot was begun")
        try:
            if self._size - self._segment >= self._bounds.segment_bytes:
                self._next_segment()
            if self._data < 0:
                self._open_files(self._of(self._boot))
            if now - self._stamped >= INDEX_SECONDS or now < self._stamped:
                _write_all(self._index, _STAMP.pack(now, self._size))
                self._stamped = now
            _write_all(self._data, data)
        except OSError as error:
            if not self._broken:
                log.warning("%s: console log cannot be written: %s", self._folder, error.strerror)
            self._broken = True
            # The offsets follow the file, so that the index stays true.
            with contextlib.suppress(OSError):
                self._size = self._segment + os.fstat(self._data).st_size
        else:
            self._broken = False
            self._size += len(data)

    def boots(self) -> list[str]:
        """Return the boots that are kept, oldest first."""
        return [folder.name for folder in sorted(filter(Path.is_dir, self._folder.iterdir()), key=_began)]

    def read(self, boot: str, offset: int = 0, limit: int = 65536) -> LogPiece:
        """Return up to ``limit`` bytes of a boot from ``offset`` on; a negative offset counts from the end.

        Raises:
            FileNotFoundError: No such boot is kept.
            ValueError: That cannot be a boot's id.
        """
        folder = self._of(boot)
        segments = _segments(folder)
        if not segments:
            if folder.is_dir():
                return LogPiece(0, b"", 0, 0)
            raise FileNotFoundError(f"no console log of boot {boot}")
        size = segments[-1] + _data_path(folder, segments[-1]).stat().st_size
        wanted = max(0, size + offset) if offset < 0 else min(offset, size)
        place = bisect_right(segments, wanted) - 1
        found = b""
        start = wanted
        while place < len(segments) and len(found) < limit:
            with _data_path(folder, segments[place]).open("rb") as file:
                file.seek(wanted - segments[place])
                data = file.read(limit - len(found))
            if not data and not found and place + 1 < len(segments):
                start = wanted = segments[place + 1]  # the gap
                place += 1
                continue
            found += data
            wanted += len(data)
            place += 1
            if place < len(segments) and segments[place] != wanted:
                break  # the next piece begins behind the gap
        missing = start - (max(0, size + offset) if offset < 0 else min(offset, size))
        return LogPiece(start, found, start + len(found), size, missing)

    def times(self, boot: str) -> list[tuple[float, int]]:
        """Return (unix time, offset) pairs: from that offset on the bytes came at that time or later.

        Raises:
            ValueError: That cannot be a boot's id.
        """
        folder = self._of(boot)
        found: list[tuple[float, int]] = []
        for segment in _segments(folder):
            with contextlib.suppress(FileNotFoundError):
                raw = _index_path(folder, segment).read_bytes()
                whole = len(raw) - len(raw) % _STAMP.size  # the last pair may be half written
                found += _STAMP.iter_unpack(raw[:whole])
        return found

    def close(self) -> None:
        """Close the files."""
        self._close_files()
        self._boot = None

    def _of(self, boot: str) -> Path:
        if not _BOOT.match(boot):
            raise ValueError(f"{boot!r} cannot be the id of a boot")
        return self._folder / boot

    def _next_segment(self) -> None:
        assert self._boot is not None
        folder = self._of(self._boot)
        self._close_files()
        self._segment = self._size
        self._open_files(folder)
        for old in _segments(folder)[1 : -self._bounds.segments + 1 or None]:
            _data_path(folder, old).unlink(missing_ok=True)
            _index_path(folder, old).unlink(missing_ok=True)

    def _open_files(self, folder: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._data = os.open(_data_path(folder, self._segment), flags, 0o600)
        self._index = os.open(_index_path(folder, self._segment), flags, 0o600)
        os.ftruncate(self._index, os.fstat(self._index).st_size // _STAMP.size * _STAMP.size)
        self._stamped = float("-inf")

    def _close_files(self) -> None:
        for number in (self._data, self._index):
            if number >= 0:
                os.close(number)
        self._data = self._index = -1

    def _forget_boots(self) -> None:
        for boot in self.boots()[: -self._bounds.boots]:
            if boot != self._boot:
                shutil.rmtree(self._folder / boot, ignore_errors=True)


def _began(folder: Path) -> tuple[float, str]:
    """When a boot said its first word, for sorting; one that said nothing yet is the youngest."""
    with contextlib.suppress(OSError, struct.error), _index_path(folder, 0).open("rb") as file:
        return _STAMP.unpack(file.read(_STAMP.size))[0], folder.name
    return float("inf"), folder.name


def _segments(folder: Path) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(entry.stem) for entry in folder.iterdir() if entry.suffix == ".log")
    return []


def _data_path(folder: Path, segment: int) -> Path:
    return folder / f"{segment:012d}.log"


def _index_path(folder: Path, segment: int) -> Path:
    return folder / f"{segment:012d}.idx"


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
