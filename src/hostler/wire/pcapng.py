"""Captures of packets as Wireshark reads them: the blocks of pcapng (draft-ietf-opsawg-pcapng).

A file is one or more sections; each begins with its interfaces. Bytes that are no whole block at its end, as
a process that was killed leaves them, are cut off by ``whole``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ETHERNET: Final = 1
"""LINKTYPE_ETHERNET."""

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_LENGTH_UNKNOWN = -1
_COMMENT, _APPLICATION, _NAME, _FLAGS, _RESOLUTION, _DROPPED = 1, 4, 2, 2, 9, 5
_NANOSECONDS = b"\x09"
_INBOUND, _OUTBOUND = 1, 2
_LEAST = 12
"""Bytes of a block without a body: its type, and its length twice."""


def section(interfaces: Sequence[str], snap: int, comment: str) -> bytes:
    """Return the begin of a section.

    Args:
        interfaces: Names of the interfaces; packets name them by their place here.
        snap: Most bytes kept of a packet.
        comment: For people, who read it under Statistics, Capture File Properties.
    """
    options = _option(_COMMENT, comment.encode()) + _option(_APPLICATION, b"Hostler") + _END
    begin = _block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, _LENGTH_UNKNOWN) + options)
    for name in interfaces:
        options = _option(_NAME, name.encode()) + _option(_RESOLUTION, _NANOSECONDS) + _END
        begin += _block(_INTERFACE, struct.pack("<HHI", ETHERNET, 0, snap) + options)
    return begin


def packet(interface: int, at: int, kept: bytes, length: int, *, outgoing: bool, comment: str = "") -> bytes:
    """Return a packet.

    Args:
        interface: Place of its interface in the section.
        at: Unix time in nanoseconds.
        kept: Its first bytes, from the Ethernet header on.
        length: How many it had on the wire.
        outgoing: Whether this host sent it.
        comment: What is to be said of it, or empty.
    """
    options = _option(_FLAGS, struct.pack("<I", _OUTBOUND if outgoing else _INBOUND))
    if comment:
        options += _option(_COMMENT, comment.encode())
    head = struct.pack("<IIIII", interface, at >> 32, at & 0xFFFFFFFF, len(kept), length)
    return _block(_PACKET, head + _padded(kept) + options + _END)


def lost(interface: int, at: int, number: int) -> bytes:
    """Return the note that so many packets of an interface were not taken until a time."""
    head = struct.pack("<III", interface, at >> 32, at & 0xFFFFFFFF)
    return _block(_STATISTICS, head + _option(_DROPPED, struct.pack("<Q", number)) + _END)


def whole(data: bytes) -> int:
    """Return how many bytes of a file are whole blocks, from its begin on."""
    at = 0
    while at + _LEAST <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        if length < _LEAST or length % 4 or at + length > len(data):
            break
        at += length
    return at


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


_END = _option(0, b"")


def _block(kind: int, body: bytes) -> bytes:
    length = _LEAST + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
