"""The multicast carousel on the wire: chunks of an image as datagrams that nobody acknowledges.

A *session* sends the frames of an image's chunks to a group, each in its *turn*, cut into fragments of one
size. Whoever listens puts frames together from what arrives, whenever it joined. What it lacks it tells by
another way (HTTP), with the last turn it saw pass: a chunk sent in a later turn may still be on its way.

A datagram (numbers big-endian)::

    magic     2  b"HC"
    version   1  1
    kind      1  0 a fragment of a whole chunk's turn, 1 a parity of fragments, 2 a fragment sent once more,
                 3 nothing: the turn before this one is over
    session   4  a random number
    turn      4  counts from 1 what was sent: a whole chunk, or some fragments of one
    chunk     4  number of the chunk among those of the index, from 0
    length    4  of the whole frame in bytes
    fragment  2  number of the fragment from 0, or of the parity
    payload      ``unit`` bytes; the last fragment's are filled up with zeros

All datagrams of a session have the same size, so that many leave in one send and arrive in one read
(``UDP_SEGMENT``, ``UDP_GRO``).

Parity ``p`` of ``n`` is the exclusive or of the fragments whose number is ``p`` modulo ``n``: it brings back
any one of them, at each listener another. Only the standard library is used: the agent on a board reads this.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"HC"
VERSION = 1
HEADER = struct.Struct(">2sBBIIIIH")
DATAGRAM = 1400
"""Bytes of a datagram: fits 1,500 of Ethernet behind a tunnel or two."""
UNIT = DATAGRAM - HEADER.size
"""Bytes of a fragment."""
PARITY_SHARE = 16
"""Fragments to a parity: a sixteenth is added to what is sent."""


class Kind(IntEnum):
    """What a datagram carries."""

    FRAGMENT = 0
    PARITY = 1
    REPAIR = 2
    NOTHING = 3


def fragment_count(length: int) -> int:
    """Return into how many fragments a frame of this length is cut."""
    return -(-length // UNIT)


def parity_count(fragments: int) -> int:
    """Return how many parities belong to that many fragments."""
    return -(-fragments // PARITY_SHARE)


def datagrams(
    session: int,
    turn: int,
    chunk: int,
    frame: bytes,
    wanted: Iterable[int] | None = None,
    *,
    parity: bool = False,
) -> Iterator[bytes]:
    """Yield the datagrams of one turn.

    Args:
        session: Its number.
        turn: The turn's.
        chunk: The chunk's.
        frame: Its whole frame.
        wanted: Numbers of the fragments to send; None: all.
        parity: Whether to add parities; only with all fragments.
    """
    length = len(frame)
    count = fragment_count(length)
    kind = Kind.FRAGMENT if wanted is None else Kind.REPAIR
    for number in range(count) if wanted is None else wanted:
        payload = frame[number * UNIT : (number + 1) * UNIT]
        header = HEADER.pack(MAGIC, VERSION, kind, session, turn, chunk, length, number)
        yield header + (payload if len(payload) == UNIT else payload.ljust(UNIT, b"\0"))
    if parity and wanted is None:
        parities = parity_count(count)
        padded = frame.ljust(count * UNIT, b"\0")
        for number in range(parities):
            header = HEADER.pack(MAGIC, VERSION, Kind.PARITY, session, turn, chunk, length, number)
            yield header + exclusive_or(
                padded[at * UNIT : (at + 1) * UNIT] for at in range(number, count, parities)
            )


def nothing(session: int, turn: int) -> bytes:
    """Return the datagram that says that every turn before this one is over."""
    return HEADER.pack(MAGIC, VERSION, Kind.NOTHING, session, turn, 0, 0, 0).ljust(DATAGRAM, b"\0")


def exclusive_or(parts: Iterable[bytes | memoryview]) -> bytes:
    """Return the exclusive or of fragments of full size."""
    total = 0
    for part in parts:
        total ^= int.from_bytes(part, "little")
    return total.to_bytes(UNIT, "little")
