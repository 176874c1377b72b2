"""Fetching chunks from another board."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from hostler.model.json import Document

CONNECT_SECONDS = 2.0
STALL_SECONDS = 3.0
"""A board that gives nothing for so long is left."""
LEAST_RATE = 256 * 1024
"""Bytes a second; one that gives less is left, too, after some seconds."""
_LONGEST_HEAD = 1024
_HEAD = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r]*\r\n(?:[^\r]*\r\n)*?Content-Length: ([0-9]{1,9})\r\n")


class PeerError(Exception):
    """The board gave nothing, or nothing right; the text says how."""


class AbsentError(Exception):
    """The board does not keep this chunk any more."""


class Peer:
    """A connection to another board, as long as it is entered.

    Args:
        source: ``host``, ``port`` and ``ticket`` as the rack told them.
    """

    def __init__(self, source: Document) -> None:
        self._host, self._port = str(source["host"]), int(str(source["port"]))
        self._ticket = str(source["ticket"])

    def __enter__(self) -> Self:
        """Connect; raises PeerError."""
        try:
            self._socket = socket.create_connection((self._host, self._port), CONNECT_SECONDS)
        except OSError as error:
            raise PeerError(f"no connection to {self._host}: {error.strerror or error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._socket.close()

    def chunk(self, number: int, into: memoryview) -> int:
        """Put the frame of a chunk into the buffer; return its length.

        Raises:
            AbsentError: it is not there any more.
            PeerError: it did not come, or not in time.
        """
        try:
            return self._chunk(number, into)
        except OSError as error:
            raise PeerError(f"chunk {number} did not come from {self._host}: {error}") from None

    def _chunk(self, number: int, into: memoryview) -> int:
        deadline = time.monotonic() + STALL_SECONDS + len(into) / LEAST_RATE
        self._socket.settimeout(STALL_SECONDS)
        head = f"Host: {self._host}\r\nAuthorization: Bearer {self._ticket}"
        self._socket.sendall(f"GET /chunk/{number} HTTP/1.1\r\n{head}\r\n\r\n".encode())
        # The head and what comes with it; none of it is another answer, for nothing else was asked.
        at, end = 0, -1
        while end < 0 and at < _LONGEST_HEAD:
            at += self._some(into[at:_LONGEST_HEAD], deadline)
            end = bytes(into[:at]).find(b"\r\n\r\n")
        found = _HEAD.match(bytes(into[: end + 4])) if end >= 0 else None
        if found is None:
            raise PeerError(f"{self._host} does not speak HTTP")
        status, length = int(found[1]), int(found[2])
        if status == 404 and not length:
            raise AbsentError
        if status != 200 or length > len(into):
            raise PeerError(f"{self._host} answered with status {status} and {length} bytes")
        rest = bytes(into[end + 4 : at])
        if len(rest) > length:
            raise PeerError(f"{self._host} sends more than it says")
        into[: len(rest)] = rest
        at = len(rest)
        while at < length:
            at += self._some(into[at:length], deadline)
        return length

    def _some(self, into: memoryview, deadline: float) -> int:
        left = deadline - time.monotonic()
        if left <= 0:
            raise PeerError(f"{self._host} is too slow")
        self._socket.settimeout(min(STALL_SECONDS, left))
        count = self._socket.recv_into(into)
        if not count:
            raise PeerError(f"{self._host} closed the connection")
        return count
