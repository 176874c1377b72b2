"""Messages with a channel on a byte stream: how a console crosses the link.

A frame is one byte channel, four bytes length (big endian) and so many bytes. Channel ``COMMAND`` carries one
JSON object (a notice of the rack, a command of the viewer), channel ``BYTES`` carries the console itself.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = 0
BYTES = 1

LIMIT = 1024 * 1024
"""Longest payload; far more than a console brings at once."""

_HEADER = struct.Struct(">BI")


class FrameError(ValueError):
    """The stream does not carry frames; close it."""


def pack(channel: int, payload: bytes) -> bytes:
    """Return one frame."""
    if len(payload) > LIMIT:
        raise FrameError(f"a frame carries at most {LIMIT} bytes, not {len(payload)}")
    return _HEADER.pack(channel, len(payload)) + payload


class Unpacker:
    """Feed it bytes however they were cut; it gives whole frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield ``(channel, payload)`` of each frame now complete; raises FrameError for one too long."""
        self._held += data
        while len(self._held) >= _HEADER.size:
            channel, length = _HEADER.unpack_from(self._held)
            if length > LIMIT:
                raise FrameError(f"a frame of {length} bytes is announced; {LIMIT} is the most")
            end = _HEADER.size + length
            if len(self._held) < end:
                return
            payload = bytes(self._held[_HEADER.size : end])
            del self._held[:end]
            yield channel, payload
