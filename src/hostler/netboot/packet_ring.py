"""The packets of an interface in memory shared with the kernel (packet(7), PACKET_RX_RING, TPACKET_V3).

Reading them is no system call for each. Each would give away the interpreter's lock, so that a thread which
answers boards waited twice for every packet that this one looks at.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from hostler.wire.packet_filter import SNAP

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK: Final = 4 << 10
"""Bytes the kernel hands over at once, a page: some 30 small packets, or one of the longest."""
BLOCKS: Final = 128
"""In all half a MiB for each interface, which counts as this process's memory. A block is handed over after
``HAND_OVER_SECONDS`` however little is in it, so few blocks would be full of next to nothing: of a slow
trickle these hold 2.5 s, as long as a busy disk may keep the reader."""
HAND_OVER_SECONDS: Final = 0.02
"""How long a block waits at most for more packets."""

_SOL_PACKET, _PACKET_STATISTICS, _PACKET_RX_RING, _PACKET_VERSION = 263, 6, 5, 10
_TPACKET_V3 = 2
_SO_ATTACH_FILTER = 26
_ETH_P_ALL, _OUTGOING = 3, 4
_OWNED_BY_US = 1
_REQUEST = struct.Struct("=7I")  # struct tpacket_req3
_BLOCK_HEAD = struct.Struct("=III")  # of struct tpacket_block_desc: status, packets, place of the first
_BLOCK_STATUS = 8
_PACKET_HEAD = struct.Struct("=5I4xH")  # struct tpacket3_hdr: next, seconds, nanoseconds, taken, length, mac
_PACKET_TYPE = 48 + 10  # in the struct sockaddr_ll behind it
_STATISTICS = struct.Struct("@II")


class Frame(NamedTuple):
    """A packet.

    Attributes:
        at: When the kernel saw it, Unix time in nanoseconds.
        data: Its first bytes, from the Ethernet header on.
        length: How many it had on the wire.
        outgoing: Whether this host sent it.
    """

    at: int
    data: bytes
    length: int
    outgoing: bool


class PacketRing:
    """A socket that hears an interface.

    Args:
        interface: Its name, in the calling thread's network namespace.
        program: Which packets to take, as `hostler.wire.packet_filter` writes it.

    Raises:
        OSError: The interface is not there, or that is not permitted: it needs CAP_NET_RAW.
    """

    def __init__(self, interface: str, program: bytes) -> None:
        code = ctypes.create_string_buffer(program)
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            self._socket.setsockopt(
                socket.SOL_SOCKET,
                _SO_ATTACH_FILTER,
                struct.pack("@HP", len(program) // 8, ctypes.addressof(code)),
            )
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
            request = _REQUEST.pack(
                BLOCK, BLOCKS, SNAP, BLOCK // SNAP * BLOCKS, int(HAND_OVER_SECONDS * 1000), 0, 0
            )
            self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
            self._memory = mmap.mmap(self._socket.fileno(), BLOCK * BLOCKS)
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError:
            self._socket.close()
            raise
        self._block = 0
        self._left = 0
        self._next = 0

    def fileno(self) -> int:
        """Return a descriptor that is readable when there are packets, or something is wrong."""
        return self._socket.fileno()

    def frames(self) -> Iterator[Frame]:
        """Yield what is there; it may be left at any packet, and goes on behind it the next time.

        Raises:
            OSError: The interface is down or gone.
        """
        memory = self._memory
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        while True:
            if not self._left:
                start = self._block * BLOCK
                status, packets, first = _BLOCK_HEAD.unpack_from(memory, start + _BLOCK_STATUS)
                if not status & _OWNED_BY_US:
                    return
                self._left, self._next = packets, start + first
                if not packets:
                    self._give_back()
            while self._left:
                here = self._next
                after, seconds, nanoseconds, taken, length, place = _PACKET_HEAD.unpack_from(memory, here)
                data = memory[here + place : here + place + taken]
                outgoing = memory[here + _PACKET_TYPE] == _OUTGOING
                self._next = here + after
                self._left -= 1
                if not self._left:
                    self._give_back()
                yield Frame(seconds * 1_000_000_000 + nanoseconds, data, length, outgoing)

    def missed(self) -> int:
        """Return how many packets the kernel dropped since this was asked last."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        return int(_STATISTICS.unpack_from(statistics)[1])

    def close(self) -> None:
        """Hear no more."""
        self._memory.close()
        self._socket.close()

    def _give_back(self) -> None:
        struct.pack_into("=I", self._memory, self._block * BLOCK + _BLOCK_STATUS, 0)
        self._block = (self._block + 1) % BLOCKS
