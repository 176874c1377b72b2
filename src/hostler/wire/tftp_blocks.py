"""Blocks of a file as they go on the wire: header, data, header, data … in one stretch of memory.

With ``UDP_SEGMENT`` the kernel cuts such a stretch into datagrams, so a whole window leaves in one system
call. A stretch never changes once it is made. Transfers that are at the same place of the same file share it:
when a rack is switched on, hundreds of boards read one kernel, and what they read stays in the CPU's cache.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary

from hostler.wire.tftp import HEADER_BYTES, Opcode

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

RUN_BYTES: Final = 65507  # largest UDP payload, hence largest UDP_SEGMENT send

_ACK: Final = struct.pack("!H", Opcode.ACK)
_DATA: Final = struct.pack("!H", Opcode.DATA)
_WRAP: Final = 0xFFFF  # block numbers go on at 0 after 65535, as every implementation does


class Source(Protocol):
    """What is read: ``size`` bytes that do not change while they are served."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read_into(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Fill the buffers one after the other from ``offset``; return the bytes read.

        Fewer than the buffers hold only at the end. May raise OSError.
        """

    def identity(self, offset: int, length: int) -> Hashable | None:
        """Return a value equal for equal bytes there in any source; None: they are not worth sharing."""


class ShortSourceError(OSError):
    """A source ended before its size."""


class Blocks:
    """Some successive blocks of a file.

    Attributes:
        first: Number of the first one, counted from 1 without wrapping.
        buffer: All of them back to back.
        packets: Each of them, views of the buffer.
        awaits: The acknowledgement of each as a client sends it; None for the last of the file.

    Raises:
        OSError: The source could not be read.
    """

    __slots__ = ("__weakref__", "_segment", "awaits", "buffer", "first", "packets")

    def __init__(self, source: Source, block: int, first: int, count: int) -> None:
        self.first = first
        self._segment = segment = HEADER_BYTES + block
        offset = (first - 1) * block
        length = min(count * block, source.size - offset)
        ends = length < count * block
        self.buffer = buffer = memoryview(bytearray(count * HEADER_BYTES + length))
        self.packets = packets = [
            buffer[start : start + segment] for start in range(0, count * segment, segment)
        ]
        got = source.read_into([packet[HEADER_BYTES:] for packet in packets], offset) if length else 0
        if got < length:
            raise ShortSourceError(None, f"only {got} of {length} bytes at {offset}: the file was cut short")
        self.awaits: list[bytes | None] = []
        for block_number, packet in enumerate(packets, first):
            number = (block_number & _WRAP).to_bytes(2)
            packet[:HEADER_BYTES] = _DATA + number
            self.awaits.append(_ACK + number)
        if ends:
            self.awaits[-1] = None

    def runs(self, first: int, last: int) -> list[memoryview]:
        """Return blocks ``first`` to ``last`` as stretches that each fit one send."""
        segment = self._segment
        step = max(1, RUN_BYTES // segment) * segment
        start = (first - self.first) * segment
        end = (last - self.first + 1) * segment
        return [self.buffer[at : min(at + step, end)] for at in range(start, end, step)]


class BlockShare:
    """Blocks in use by some transfer, for the next one that comes to the same place."""

    def __init__(self) -> None:
        self._blocks: WeakValueDictionary[Hashable, Blocks] = WeakValueDictionary()

    def get(self, source: Source, block: int, first: int, count: int) -> Blocks:
        """Return blocks of a source, read or shared.

        Raises:
            OSError: The source could not be read.
        """
        offset = (first - 1) * block
        identity = source.identity(offset, min(count * block, source.size - offset))
        if identity is None:
            return Blocks(source, block, first, count)
        key = (identity, block, first, count)
        blocks = self._blocks.get(key)
        if blocks is None:
            blocks = self._blocks[key] = Blocks(source, block, first, count)
        return blocks
