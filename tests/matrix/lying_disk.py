"""A disk whose reads lie about one bit: an NBD server over a file, for QEMU to put behind any controller.

QEMU can make a disk fail, but not lie. Protocol: NetworkBlockDevice doc/proto.md, fixed newstyle, as much
of it as QEMU's client asks for.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPTION = 0x49484156454F5054  # IHAVEOPT
_OPTION_REPLY = 0x3E889045565A9
_REQUEST, _REPLY = 0x25609513, 0x67446698
_FLAGS = 1 | 4 | 32  # has flags, flush, trim; no write-zeroes
_GO, _ABORT = 7, 2
_ACK, _INFO, _UNSUPPORTED = 1, 3, (1 << 31) + 1
_READ, _WRITE, _DISCONNECT, _FLUSH, _TRIM = range(5)


@dataclass
class LyingDisk:
    """What it does, and what it has done.

    Attributes:
        file: The content.
        at: The byte whose lowest bit is read wrong.
        times: It lies until that byte was written so often; the first time counts.
        armed: Whether the byte was written at all: before that it tells the truth.
        lies: How often it has lied.
    """

    file: Path
    at: int
    times: int
    written: int = 0
    lies: int = 0

    def read(self, fd: int, offset: int, length: int) -> bytes:
        data = os.pread(fd, length, offset).ljust(length, b"\0")
        if not (offset <= self.at < offset + length and 0 < self.written <= self.times):
            return data
        self.lies += 1
        place = self.at - offset
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    def write(self, fd: int, offset: int, data: bytes) -> None:
        os.pwrite(fd, data, offset)
        self.written += offset <= self.at < offset + len(data)


@contextmanager
def lying_disk(file: Path, at: int, times: int) -> Iterator[tuple[Path, LyingDisk]]:
    """Serve ``file``; yields the path of the socket and the disk.

    Args:
        file: Of the size that the disk is to have.
        at: Offset of the byte that is read wrong.
        times: It is, after each of so many writes of it; from the next one on it is read right.
    """
    disk = LyingDisk(file, at, times)
    path = file.with_suffix(".nbd")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        serving = threading.Thread(target=_accept, args=[listener, disk], daemon=True)
        serving.start()
        try:
            yield path, disk
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join(10)


def _accept(listener: socket.socket, disk: LyingDisk) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(EOFError, OSError):
                _negotiate(connection, disk.file.stat().st_size)
                _serve(connection, disk)


def _take(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _negotiate(connection: socket.socket, size: int) -> None:
    connection.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))  # fixed newstyle, no zeroes
    _take(connection, 4)
    while True:
        magic, option, length = struct.unpack(">QII", _take(connection, 16))
        assert magic == _OPTION
        _take(connection, length)

        def reply(kind: int, data: bytes = b"", option: int = option) -> None:
            connection.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, len(data)) + data)

        if option == _GO:
            reply(_INFO, struct.pack(">HQH", 0, size, _FLAGS))
            reply(_ACK)
            return
        if option == _ABORT:
            raise EOFError
        reply(_UNSUPPORTED)


def _serve(connection: socket.socket, disk: LyingDisk) -> None:
    fd = os.open(disk.file, os.O_RDWR)
    try:
        while True:
            magic, _, kind, handle, offset, length = struct.unpack(">IHHQQI", _take(connection, 28))
            assert magic == _REQUEST
            answer = b""
            if kind == _DISCONNECT:
                return
            if kind == _READ:
                answer = disk.read(fd, offset, length)
            elif kind == _WRITE:
                disk.write(fd, offset, _take(connection, length))
            # Flush and trim have nothing to do: trimmed data may stay.
            connection.sendall(struct.pack(">IIQ", _REPLY, 0, handle) + answer)
    finally:
        os.close(fd)
