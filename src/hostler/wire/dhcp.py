"""DHCPv4 messages: bytes to messages and back (RFC 2131, 2132, 3396, 4578). No I/O, no clock."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from hostler.wire.dhcp_options import (
    CLIENT_ARCH,
    CLIENT_ID,
    CLIENT_NDI,
    CLIENT_UUID,
    IPXE,
    LEASE_TIME,
    MAX_SIZE,
    MESSAGE_TYPE,
    OVERLOAD,
    PARAMETER_LIST,
    RELAY_AGENT,
    REQUESTED_ADDRESS,
    SERVER_ID,
    USER_CLASS,
    VENDOR_CLASS,
    DhcpError,
    MessageType,
    decapsulate,
    read_options,
    split_option,
    user_classes,
    write_options,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BROADCAST_FLAG", "ETHERNET", "NOWHERE", "REPLY", "REQUEST", "DhcpError", "Message", "MessageType"]

REQUEST = 1
REPLY = 2
ETHERNET = 1
BROADCAST_FLAG = 0x8000
NOWHERE = bytes(4)
"""The address 0.0.0.0."""

_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_FIXED = _HEADER.size  # 240 with the cookie
_SMALLEST = 300  # BOOTP relays and old ROMs drop shorter replies (RFC 1542 section 2.1)
_IP_UDP = 28
_SAFE = 576  # what every client takes: RFC 2131 section 2
_ETHERNET_MTU = 1500
_SNAME, _FILE = 64, 128


class Message(NamedTuple):
    """One DHCP message. Addresses are four bytes in network order; a field that is not there is empty.

    Attributes:
        op: 1 from a client, 2 from a server.
        xid: The client's transaction number.
        chaddr: The client's hardware address, ``hlen`` bytes of it.
        options: Values by code, split ones joined, 52 (overload) resolved. Their order is kept on the wire.
        htype: Kind of hardware address; 1 is Ethernet.
        hops: Relays passed.
        secs: Seconds the client says it has been trying.
        flags: ``BROADCAST_FLAG`` or 0.
        ciaddr: The address the client has and answers ARP for.
        yiaddr: The address the client is given.
        siaddr: The server to boot from next.
        giaddr: The relay that passed it on.
        sname: Server name, up to its first NUL.
        file: Boot file, up to its first NUL.
    """

    op: int
    xid: int
    chaddr: bytes
    options: Mapping[int, bytes]
    htype: int = ETHERNET
    hops: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: bytes = NOWHERE
    yiaddr: bytes = NOWHERE
    siaddr: bytes = NOWHERE
    giaddr: bytes = NOWHERE
    sname: bytes = b""
    file: bytes = b""

    @classmethod
    def parse(cls, datagram: bytes) -> Message:
        """Read one datagram.

        Raises:
            DhcpError: It is no DHCP message; the text says why.
        """
        if len(datagram) < _FIXED:
            raise DhcpError(f"{len(datagram)} bytes are too few for a DHCP message ({_FIXED} at least)")
        (
            op,
            htype,
            hlen,
            hops,
            xid,
            secs,
            flags,
            ciaddr,
            yiaddr,
            siaddr,
            giaddr,
            chaddr,
            sname,
            file,
            cookie,
        ) = _HEADER.unpack_from(datagram)
        if cookie != _COOKIE:
            raise DhcpError("no DHCP magic cookie: plain BOOTP or something else")
        if op not in (REQUEST, REPLY):
            raise DhcpError(f"op is {op}, neither request nor reply")
        if hlen > len(chaddr):
            raise DhcpError(f"hardware address of {hlen} bytes, at most {len(chaddr)} fit")
        options: dict[int, bytes] = {}
        read_options(datagram[_FIXED:], options, "options")
        overload = options.pop(OVERLOAD, None)
        if overload is not None:
            # RFC 3396 section 5: joined in the order options, file, sname.
            if overload not in (b"\x01", b"\x02", b"\x03"):
                raise DhcpError(f"option overload is {overload.hex()}, not 01, 02 or 03")
            if overload[0] & 1:
                read_options(file, options, "file")
                file = b""
            if overload[0] & 2:
                read_options(sname, options, "sname")
                sname = b""
            options.pop(OVERLOAD, None)
        return cls(
            op, xid, chaddr[:hlen], options, htype, hops, secs, flags, ciaddr, yiaddr, siaddr, giaddr,
            sname.partition(b"\0")[0], file.partition(b"\0")[0],
        )  # fmt: skip

    def encode(self, limit: int = _SAFE - _IP_UDP, first: bytes = b"") -> bytes:
        """Return the datagram, padded to the BOOTP minimum.

        Options that do not fit go to unused ``file`` and ``sname`` fields (option 52).

        Args:
            limit: Most bytes it may have; see ``reply_limit`` of the message that is answered.
            first: Options written before (``write_options``), to stand before the message's own: a server
                says the same in every answer.

        Raises:
            DhcpError: It cannot be made to fit, or a field is longer than its place.
        """
        sname, file = self.sname, self.file
        if len(sname) >= _SNAME or len(file) >= _FILE or len(self.chaddr) > 16:
            sizes = f"sname {len(sname)}, file {len(file)}, chaddr {len(self.chaddr)} bytes"
            raise DhcpError(f"{sizes}: one is longer than its field")
        body = first + write_options(self.options)
        if _FIXED + len(body) + 1 > limit:
            body, file, sname = self._overload(limit - len(first))
            body = first + body
        head = _HEADER.pack(
            self.op, self.htype, len(self.chaddr), self.hops, self.xid, self.secs, self.flags,
            self.ciaddr, self.yiaddr, self.siaddr, self.giaddr, self.chaddr, sname, file, _COOKIE,
        )  # fmt: skip
        return (head + body + b"\xff").ljust(_SMALLEST, b"\0")

    def _overload(self, limit: int) -> tuple[bytes, bytes, bytes]:
        """Spread the options over the three areas: first fit, in RFC 3396's order of joining."""
        overload = (0 if self.file else 1) | (0 if self.sname else 2)
        rooms = [limit - _FIXED - 4, _FILE - 1 if overload & 1 else 0, _SNAME - 1 if overload & 2 else 0]
        areas: list[list[bytes]] = [[], [], []]
        for code, value in self.options.items():
            # Pieces of one split option stay in order: all but the last fit into the first area only.
            for piece in split_option(code, value):
                for area, room in enumerate(rooms):
                    if len(piece) <= room:
                        areas[area].append(piece)
                        rooms[area] -= len(piece)
                        break
                else:
                    raise DhcpError(f"option {code} of {len(value)} bytes does not fit into {limit} bytes")
        body, file, sname = (b"".join(area) for area in areas)
        # An unused area that is announced must still be closed.
        return (
            bytes((OVERLOAD, 1, overload)) + body if overload else body,
            file + b"\xff" if overload & 1 else self.file,
            sname + b"\xff" if overload & 2 else self.sname,
        )

    @property
    def mac(self) -> str:
        """The hardware address in lower case with colons."""
        return self.chaddr.hex(":")

    @property
    def message_type(self) -> int | None:
        """Option 53, a ``MessageType`` or a number beyond them; None if absent or malformed."""
        value = self.options.get(MESSAGE_TYPE)
        return value[0] if value is not None and len(value) == 1 else None

    @property
    def server_id(self) -> bytes | None:
        """Option 54 as four bytes; None if absent or malformed."""
        return self._address(SERVER_ID)

    @property
    def requested_address(self) -> bytes | None:
        """Option 50 as four bytes; None if absent or malformed."""
        return self._address(REQUESTED_ADDRESS)

    @property
    def lease_time(self) -> int | None:
        """Option 51 in seconds; None if absent or malformed."""
        value = self.options.get(LEASE_TIME)
        return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None

    @property
    def parameter_list(self) -> bytes:
        """Option 55: the codes the client asks for, one a byte."""
        return self.options.get(PARAMETER_LIST, b"")

    @property
    def reply_limit(self) -> int:
        """Most bytes a reply may have, from option 57, which counts the IP and UDP headers too."""
        value = self.options.get(MAX_SIZE)
        if value is None or len(value) != 2:
            return _SAFE - _IP_UDP
        return min(max(int.from_bytes(value, "big"), _SAFE), _ETHERNET_MTU) - _IP_UDP

    @property
    def vendor_class(self) -> str:
        """Option 60 as text; empty if absent."""
        return _text(self.options.get(VENDOR_CLASS, b""))

    @property
    def user_classes(self) -> tuple[str, ...]:
        """Option 77 as texts, raw or length-prefixed."""
        return tuple(_text(value) for value in user_classes(self.options.get(USER_CLASS, b"")))

    @property
    def client_id(self) -> bytes | None:
        """Option 61 as sent. Firmware, iPXE and Linux send different ones for one board."""
        return self.options.get(CLIENT_ID)

    @property
    def architectures(self) -> tuple[int, ...]:
        """Option 93: what the firmware can run, best first (RFC 4578); empty if absent or malformed."""
        value = self.options.get(CLIENT_ARCH, b"")
        if len(value) % 2:
            return ()
        return struct.unpack(f"!{len(value) // 2}H", value)

    @property
    def interface_version(self) -> tuple[int, int, int] | None:
        """Option 94: kind, major, minor of the firmware's network interface; None if absent or malformed."""
        value = self.options.get(CLIENT_NDI)
        return (value[0], value[1], value[2]) if value is not None and len(value) == 3 else None

    @property
    def machine_id(self) -> bytes | None:
        """Option 97: 16 bytes of UUID; None if absent, of another kind than 0, or malformed."""
        value = self.options.get(CLIENT_UUID)
        return value[1:] if value is not None and len(value) == 17 and value[0] == 0 else None

    @property
    def relay_options(self) -> dict[int, bytes]:
        """Sub-options of 82 by code; empty if absent or malformed."""
        return _sub_options(self.options.get(RELAY_AGENT))

    @property
    def ipxe_options(self) -> dict[int, bytes]:
        """Sub-options of 175 by code: what this iPXE can do; empty if absent or malformed."""
        return _sub_options(self.options.get(IPXE))

    def _address(self, code: int) -> bytes | None:
        value = self.options.get(code)
        return value if value is not None and len(value) == 4 else None


def _sub_options(value: bytes | None) -> dict[int, bytes]:
    if not value:
        return {}
    try:
        return decapsulate(value)
    except DhcpError:
        return {}


def _text(value: bytes) -> str:
    # Only what a person can read: these go to traces and pages.
    return "".join(
        char if char.isprintable() else "\ufffd" for char in value.rstrip(b"\0").decode("utf-8", "replace")
    )
