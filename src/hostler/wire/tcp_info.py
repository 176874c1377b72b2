"""What the kernel knows of a TCP connection (``struct tcp_info`` of linux/tcp.h), and what that shows."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

LENGTH: Final = 136
"""Bytes to ask for: up to ``tcpi_bytes_received``, which Linux has since 4.1."""

_EIGHTS = struct.Struct("=BBBBB")
_WORDS = struct.Struct("=II")
_COUNTS = struct.Struct("=QQ")
_ONE_WORD = struct.Struct("=I")
_AT_MSS, _AT_SENT_AGAIN, _AT_COUNTS = 16, 100, 120

STALLED_TRIES: Final = 4
"""Retransmissions in a row, with pauses that double from 0.2 s: some three seconds without a word."""
SMALL_BYTES: Final = 4096
"""Headers and scripts fit; a connection that carried more has carried large packets."""
SAFE_SEGMENT: Final = 536
"""What every way carries (RFC 9293 section 3.7.1): if that is lost, size is not the reason."""


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """A connection as the sender sees it.

    Attributes:
        tries: Retransmissions in a row that brought no acknowledgement.
        segment: Bytes of data in one packet.
        unacknowledged: Packets on the way.
        acknowledged: Bytes that arrived, since the connection began.
        sent_again: Packets that were sent again, since the connection began.
    """

    tries: int
    segment: int
    unacknowledged: int
    acknowledged: int
    sent_again: int = 0

    @classmethod
    def parse(cls, data: bytes) -> TcpInfo | None:
        """Read what ``getsockopt(TCP_INFO)`` returned; None: this kernel tells too little."""
        if len(data) < LENGTH:
            return None
        tries = _EIGHTS.unpack_from(data)[2]
        segment = _WORDS.unpack_from(data, _AT_MSS)[0]
        unacknowledged = _WORDS.unpack_from(data, _AT_MSS + 8)[0]
        acknowledged = _COUNTS.unpack_from(data, _AT_COUNTS)[0]
        sent_again = _ONE_WORD.unpack_from(data, _AT_SENT_AGAIN)[0]
        return cls(tries, segment, unacknowledged, acknowledged, sent_again)

    @property
    def large_lost(self) -> bool:
        """Whether it carried what is small, and loses what is large again and again."""
        return (
            self.tries >= STALLED_TRIES
            and self.unacknowledged > 0
            and self.segment > SAFE_SEGMENT
            and self.acknowledged < SMALL_BYTES
        )
