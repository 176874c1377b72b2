"""Leases on disk: an append-only file, made durable in groups by a thread of its own.

File: an eight-byte signature, then frames ``magic, length, CRC-32, records``; one frame is one commit. The
file is filled with zeros ahead of the frames, so that a commit overwrites blocks that exist and ``fdatasync``
writes data only (143 µs for 16 leases, against 196 µs appending and 226 µs with SQLite in WAL mode, where
measured). A frame torn by a crash ends the file: what came before it stands, and nothing after it was ever
acknowledged.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from hostler.netboot.leases import RECORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SIGNATURE = b"HLEASE1\n"
_MAGIC = b"HLF\n"
_FRAME = struct.Struct("!4sII")
_GROW = 256 * 1024
_COMPACT_AT = 8 * 1024 * 1024
# Under load commits are this far apart, so that each carries many leases; a lone one is written at once.
_PAUSE_SECONDS = 0.002

T = TypeVar("T")


class LeaseJournalError(RuntimeError):
    """The journal cannot be read or written; the text names the file and what to do."""


class Commit(NamedTuple, Generic[T]):
    """What has become of one ``submit``.

    Attributes:
        waiting: What was to wait for it.
        error: Why it is not on disk, or None if it is.
    """

    waiting: T
    error: str | None


class _Batch(NamedTuple, Generic[T]):
    records: bytes
    waiting: T
    whole: bool


def read_journal(path: Path, record_size: int = RECORD_SIZE) -> bytes:
    """Return the records of all whole frames, oldest first; a torn end is left out, a missing file is empty.

    Args:
        path: The file.
        record_size: Bytes of each record in it.

    Raises:
        LeaseJournalError: It cannot be read, or it is something else than a lease journal.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise LeaseJournalError(f"cannot read the leases in {path}: {error.strerror}") from error
    if not data.startswith(_SIGNATURE):
        if not data.strip(b"\0"):
            return b""  # created, and the machine went down before the first commit
        raise LeaseJournalError(f"{path} is not a lease journal; move it away to start without leases")
    records = []
    position = len(_SIGNATURE)
    while position + _FRAME.size <= len(data):
        magic, length, checksum = _FRAME.unpack_from(data, position)
        start = position + _FRAME.size
        position = start + length
        body = data[start:position]
        if magic != _MAGIC or len(body) != length or length % record_size or zlib.crc32(body) != checksum:
            break
        records.append(body)
    return b"".join(records)


class LeaseJournal(Generic[T]):
    """The journal being written.

    Args:
        path: The file; its folder must exist. One process at a time may write it.
        committed: Called by the journal's thread when ``commits`` has something new.
    """

    def __init__(self, path: Path, committed: Callable[[], None]) -> None:
        self._path = path
        self._committed = committed
        self._todo: SimpleQueue[_Batch[T] | None] = SimpleQueue()
        self._done: SimpleQueue[Commit[T]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="lease-journal", daemon=True)
        self._file = -1
        self._end = 0
        self._room = 0
        self._least = 0
        self._broken: str | None = None
        self.wants_all = False
        """Whether the next ``submit`` should hand in all leases: to compact, or after a failed write."""

    def open(self, records: bytes) -> None:
        """Begin the file anew with these leases, atomically, and start the thread.

        Raises:
            LeaseJournalError: The file cannot be written.
        """
        try:
            self._rewrite(records)
        except OSError as error:
            raise LeaseJournalError(self._explain(error)) from error
        self._thread.start()

    def submit(self, records: bytes, waiting: T, *, whole: bool = False) -> None:
        """Write records; ``waiting`` comes back from ``commits`` once they are on disk.

        Args:
            records: Leases that changed, or all of them.
            waiting: What must not happen before.
            whole: These are all leases: replace the file.
        """
        if whole:
            self.wants_all = False
        self._todo.put(_Batch(records, waiting, whole))

    def commits(self) -> list[Commit[T]]:
        """Return what has been finished since the last call."""
        done = []
        while True:
            try:
                done.append(self._done.get_nowait())
            except Empty:
                return done

    def close(self, timeout: float = 10.0) -> None:
        """Write what was submitted and end the thread; waits no longer than ``timeout`` seconds."""
        self._todo.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._file >= 0 and not self._thread.is_alive():
            os.close(self._file)
            self._file = -1

    def _run(self) -> None:
        earliest = 0.0
        while True:
            batch = self._todo.get()
            if batch is not None and (early := earliest - time.monotonic()) > 0:
                time.sleep(early)
            batches = []
            # Everything that arrived while the last commit was on its way to disk shares the next one.
            while batch is not None:
                batches.append(batch)
                try:
                    batch = self._todo.get_nowait()
                except Empty:
                    break
            if batches:
                error = self._write(batches)
                for each in batches:
                    self._done.put(Commit(each.waiting, error))
                self._committed()
                earliest = time.monotonic() + _PAUSE_SECONDS
            if batch is None:
                return

    def _write(self, batches: list[_Batch[T]]) -> str | None:
        # All leases at one moment make what was handed in before them void.
        whole = max((at for at, batch in enumerate(batches) if batch.whole), default=None)
        records = b"".join(batch.records for batch in batches[whole or 0 :])
        if whole is None and self._broken is not None:
            return self._broken
        try:
            if whole is not None:
                self._rewrite(records)
            else:
                self._append(records)
        except OSError as error:
            # After a failed fdatasync the kernel may call lost pages clean: only a new file is sure.
            self._broken = self._explain(error)
            self.wants_all = True
            return self._broken
        self._broken = None
        if self._end > max(_COMPACT_AT, 4 * self._least):
            self.wants_all = True
        return None

    def _append(self, records: bytes) -> None:
        frame = _frame(records)
        if self._end + len(frame) > self._room:
            grow = max(_GROW, len(frame))
            _write_all(self._file, bytes(grow), self._room)
            self._room += grow
        _write_all(self._file, frame, self._end)
        os.fdatasync(self._file)
        self._end += len(frame)

    def _rewrite(self, records: bytes) -> None:
        data = _SIGNATURE + _frame(records)
        fresh = self._path.with_name(self._path.name + ".new")
        file = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            room = len(data) + _GROW
            _write_all(file, data.ljust(room, b"\0"), 0)
            os.fsync(file)
            fresh.replace(self._path)
        except OSError:
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._end, self._room, self._least = file, len(data), room, len(data)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _explain(self, error: OSError) -> str:
        return f"cannot write the leases to {self._path}: {error.strerror}"


def _frame(records: bytes) -> bytes:
    return _FRAME.pack(_MAGIC, len(records), zlib.crc32(records)) + records


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view = view[written:]
        offset += written
