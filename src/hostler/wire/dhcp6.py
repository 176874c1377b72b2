"""DHCPv6 messages: bytes to messages and back, through any number of relays (RFC 8415). No I/O, no clock."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6_options import Dhcp6Error, Duid, IaNa, Option, read_options, write_options

__all__ = ["Dhcp6Error", "Message6", "MessageType6", "Packet6", "RelayHop"]

MOST_RELAYS = 32
"""HOP_COUNT_LIMIT of RFC 3315; RFC 8415 has 8."""

_RELAY_HEADER = struct.Struct("!BB16s16s")


class MessageType6(IntEnum):
    """Kinds of messages (RFC 8415 section 7.3)."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    RECONFIGURE = 10
    INFORMATION_REQUEST = 11
    RELAY_FORW = 12
    RELAY_REPL = 13


class Message6(NamedTuple):
    """One message between a client and a server.

    Attributes:
        kind: A ``MessageType6``, or a number beyond them.
        xid: The client's transaction number, 24 bits.
        options: In their order; some may come more than once.
    """

    kind: int
    xid: int
    options: tuple[Option, ...]

    @classmethod
    def parse(cls, data: bytes) -> Message6:
        """Read one message that is not a relay's.

        Raises:
            Dhcp6Error: It is none; the text says why.
        """
        if len(data) < 4:
            raise Dhcp6Error(f"{len(data)} bytes are too few for a DHCPv6 message")
        if data[0] in (MessageType6.RELAY_FORW, MessageType6.RELAY_REPL):
            raise Dhcp6Error("a relay's message where a client's is expected")
        return cls(data[0], int.from_bytes(data[1:4], "big"), read_options(data[4:], "the message"))

    def encode(self) -> bytes:
        """Return the message as bytes.

        Raises:
            Dhcp6Error: An option is too long.
        """
        return bytes((self.kind,)) + self.xid.to_bytes(3, "big") + write_options(self.options)

    def first(self, code: int) -> bytes | None:
        """Return the value of the first option with this code; None: there is none."""
        return next((value for number, value in self.options if number == code), None)

    @property
    def client_id(self) -> bytes | None:
        """Option 1: the client's DUID."""
        return self.first(option.CLIENT_ID)

    @property
    def server_id(self) -> bytes | None:
        """Option 2: the DUID of the server that is meant."""
        return self.first(option.SERVER_ID)

    @property
    def duid(self) -> Duid:
        """What the client's DUID tells; nothing if it has none."""
        return Duid.parse(self.client_id or b"")

    @property
    def associations(self) -> tuple[IaNa, ...]:
        """All options 3.

        Raises:
            Dhcp6Error: One is malformed.
        """
        return tuple(IaNa.parse(value) for code, value in self.options if code == option.IA_NA)

    @property
    def wanted(self) -> frozenset[int]:
        """Option 6: the options the client asks for."""
        value = self.first(option.OPTION_REQUEST) or b""
        return frozenset(struct.unpack(f"!{len(value) // 2}H", value)) if len(value) % 2 == 0 else frozenset()

    @property
    def asking_seconds(self) -> int:
        """Option 8: how long the client has been trying, in whole seconds; 0 if absent or malformed."""
        value = self.first(option.ELAPSED) or b""
        return int.from_bytes(value, "big") // 100 if len(value) == 2 else 0

    @property
    def architectures(self) -> tuple[int, ...]:
        """Option 61: what the firmware can run, best first (RFC 5970); empty if absent or malformed."""
        value = self.first(option.CLIENT_ARCH) or b""
        return struct.unpack(f"!{len(value) // 2}H", value) if len(value) % 2 == 0 else ()

    @property
    def vendor_class(self) -> str:
        """The first text of option 16; empty if absent or malformed."""
        texts = option.classes((self.first(option.VENDOR_CLASS) or b"")[4:])
        return readable(texts[0]) if texts else ""

    @property
    def user_classes(self) -> tuple[str, ...]:
        """Option 15 as texts."""
        return tuple(readable(value) for value in option.classes(self.first(option.USER_CLASS) or b""))


class RelayHop(NamedTuple):
    """One relay that passed a message on (RFC 8415 section 9).

    Attributes:
        hops: Relays before it.
        link: 16 bytes: an address of the link it heard the message on, or zeros.
        peer: 16 bytes: whom it heard it from.
        options: Its own, without the message.
    """

    hops: int
    link: bytes
    peer: bytes
    options: tuple[Option, ...]

    def first(self, code: int) -> bytes | None:
        """Return the value of the first option with this code; None: there is none."""
        return next((value for number, value in self.options if number == code), None)


class Packet6(NamedTuple):
    """One datagram: a message and the relays it came through.

    Attributes:
        message: The client's or, in an answer, the server's.
        relays: The one that sent the datagram first, the one nearest to the client last.
    """

    message: Message6
    relays: tuple[RelayHop, ...] = ()

    @classmethod
    def parse(cls, datagram: bytes) -> Packet6:
        """Read a datagram that came to a server.

        Raises:
            Dhcp6Error: It is none; the text says why.
        """
        relays: list[RelayHop] = []
        data = datagram
        while data[:1] == bytes((MessageType6.RELAY_FORW,)):
            if len(data) < _RELAY_HEADER.size:
                raise Dhcp6Error(f"{len(data)} bytes are too few for a relay's message")
            if len(relays) == MOST_RELAYS:
                raise Dhcp6Error(f"more than {MOST_RELAYS} relays")
            _, hops, link, peer = _RELAY_HEADER.unpack_from(data)
            options = read_options(data[_RELAY_HEADER.size :], "a relay's message")
            inner = [value for code, value in options if code == option.RELAY_MESSAGE]
            if len(inner) != 1:
                raise Dhcp6Error(f"a relay's message holds {len(inner)} messages, not one")
            own = tuple(pair for pair in options if pair[0] != option.RELAY_MESSAGE)
            relays.append(RelayHop(hops, link, peer, own))
            data = inner[0]
        return cls(Message6.parse(data), tuple(relays))

    def answer(self, message: Message6) -> bytes:
        """Return the datagram that brings an answer back the way this one came.

        Each relay gets its interface id back as it sent it (RFC 8415 section 19.3).

        Raises:
            Dhcp6Error: An option is too long.
        """
        data = message.encode()
        for hop in reversed(self.relays):
            interface = hop.first(option.INTERFACE_ID)
            own = [] if interface is None else [(option.INTERFACE_ID, interface)]
            head = _RELAY_HEADER.pack(MessageType6.RELAY_REPL, hop.hops, hop.link, hop.peer)
            data = head + write_options([*own, (option.RELAY_MESSAGE, data)])
        return data


def readable(value: bytes) -> str:
    """Return bytes as a text that a person can read: it goes to traces and pages."""
    text = value.rstrip(b"\0").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
