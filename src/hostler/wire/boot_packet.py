"""What a packet of a boot is, whom it concerns, and which of its bytes may be kept.

A kept packet begins as it was on the wire. It ends early where a file's content or the body of an answer
would follow, and what gives rights is overwritten by as many asterisks: the tokens of boots are secrets.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

_ETHERNET = 14
_IP4, _IP6, _UDP, _TCP = 0x0800, 0x86DD, 17, 6
_CHADDR = 28
_DATA = 3
_METHODS: Final = (b"GET ", b"HEAD ", b"POST ", b"PUT ")
_SECRETS = re.compile(
    rb"(?i)(?<=\r\n)((?:proxy-)?authorization: ?|(?:set-)?cookie: ?)[^\r\n]+|([?&]token=)[^&\s#]+"
)


class Kind(Enum):
    """What a packet is."""

    DHCP = auto()
    FILE_REQUEST = auto()
    """A TFTP request, or the answer from the same port that refuses it."""
    TRANSFER = auto()
    """The rest of TFTP: options, blocks, acknowledgements, errors."""
    CONNECTION = auto()
    """A TCP connection begins or ends."""
    REQUEST = auto()
    """The begin of an HTTP request."""
    ANSWER = auto()
    """The begin of an HTTP answer."""


@dataclass(frozen=True, slots=True)
class BootPorts:
    """Where the boot services are, as packets show it.

    Attributes:
        dhcp: DHCP for IPv4, servers' and clients' ports.
        dhcp6: DHCPv6, likewise.
        tftp: TFTP requests.
        http: HTTP boot.
    """

    dhcp: frozenset[int] = field(default=frozenset({67, 68, 4011}))
    dhcp6: frozenset[int] = field(default=frozenset({546, 547}))
    tftp: int = 69
    http: frozenset[int] = field(default=frozenset({8067}))


class BootPacket(NamedTuple):
    """A packet that may belong to a boot.

    Attributes:
        kind: What it is.
        mac: MAC of the client, or of the router it is behind.
        client: The client's address, 4 or 16 bytes, and its port, as far as it has them.
        kept: The bytes that may be kept.
    """

    kind: Kind
    mac: str
    client: tuple[bytes, int]
    kept: bytes


def boot_packet(frame: bytes, ports: BootPorts, *, outgoing: bool) -> BootPacket | None:
    """Read an Ethernet frame; None if it belongs to no boot.

    Args:
        frame: From its first byte on, perhaps cut.
        ports: Where the services are.
        outgoing: Whether this host sent it.
    """
    try:
        return _read(frame, ports, outgoing=outgoing)
    except (struct.error, IndexError):
        return None  # too short for what it says it is


def _read(frame: bytes, ports: BootPorts, *, outgoing: bool) -> BootPacket | None:
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    if ethertype == _IP4:
        at, protocol, version = _ETHERNET + (frame[_ETHERNET] & 15) * 4, frame[_ETHERNET + 9], 4
        source, target = frame[26:30], frame[30:34]
    elif ethertype == _IP6:
        at, protocol, version = _ETHERNET + 40, frame[_ETHERNET + 6], 6
        source, target = frame[22:38], frame[38:54]
    else:
        return None
    source_port, target_port = struct.unpack_from("!HH", frame, at)
    mac = (frame[:6] if outgoing else frame[6:12]).hex(":")
    client = (target, target_port) if outgoing else (source, source_port)
    both = {source_port, target_port}
    if protocol == _UDP:
        return _datagram(frame, mac, client, at + 8, ports, both, older=version == 4)
    if protocol == _TCP and not both.isdisjoint(ports.http):
        return _segment(frame, mac, client, at)
    return None


def _datagram(
    frame: bytes,
    mac: str,
    client: tuple[bytes, int],
    at: int,
    ports: BootPorts,
    both: set[int],
    *,
    older: bool,
) -> BootPacket:
    """Read what follows a UDP header at a place."""
    if older and not both.isdisjoint(ports.dhcp):
        # By whom it is about, not by who put it on this wire: that may be a relay, or go to all.
        return BootPacket(Kind.DHCP, frame[at + _CHADDR : at + _CHADDR + 6].hex(":"), client, frame)
    if not older and not both.isdisjoint(ports.dhcp6):
        return BootPacket(Kind.DHCP, mac, client, frame)
    if ports.tftp in both:
        return BootPacket(Kind.FILE_REQUEST, mac, client, frame)
    (opcode,) = struct.unpack_from("!H", frame, at)
    return BootPacket(Kind.TRANSFER, mac, client, frame[: at + 4] if opcode == _DATA else frame)


def _segment(frame: bytes, mac: str, client: tuple[bytes, int], at: int) -> BootPacket:
    """Read a TCP segment at a place."""
    body = at + (frame[at + 12] >> 4) * 4
    said = frame[body:]
    if said.startswith(_METHODS):
        kind = Kind.REQUEST
    elif said.startswith(b"HTTP/"):
        kind = Kind.ANSWER
    else:
        return BootPacket(Kind.CONNECTION, mac, client, frame[:body])
    end = said.find(b"\r\n\r\n")
    head = said if end < 0 else said[: end + 4]
    return BootPacket(kind, mac, client, frame[:body] + _without_secrets(head))


def _without_secrets(head: bytes) -> bytes:
    def covered(match: re.Match[bytes]) -> bytes:
        name = match[1] or match[2]
        return name + b"*" * (len(match[0]) - len(name))

    return _SECRETS.sub(covered, head)
