"""DHCPv6 options: their numbers, and bytes to options and back (RFC 8415, 5970, 6939, 3646)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

CLIENT_ID = 1
SERVER_ID = 2
IA_NA = 3
IA_TA = 4
IA_ADDRESS = 5
OPTION_REQUEST = 6
PREFERENCE = 7
ELAPSED = 8
RELAY_MESSAGE = 9
STATUS = 13
RAPID_COMMIT = 14
USER_CLASS = 15
VENDOR_CLASS = 16
INTERFACE_ID = 18
DNS = 23
IA_PD = 25
REMOTE_ID = 37
BOOT_URL = 59
BOOT_PARAMETERS = 60
CLIENT_ARCH = 61
CLIENT_NII = 62
CLIENT_LINK_LAYER = 79

INTEL = 343
"""The enterprise under which firmware says ``PXEClient…`` and ``HTTPClient…`` in option 16."""

ETHERNET = 1
LONGEST_DUID = 130
"""Two bytes of type and 128 of identifier: RFC 8415 section 11.1."""


class Status(IntEnum):
    """Option 13 (RFC 8415 section 21.13)."""

    SUCCESS = 0
    UNSPEC_FAIL = 1
    NO_ADDRESSES = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    USE_MULTICAST = 5
    NO_PREFIXES = 6


class Dhcp6Error(ValueError):
    """These bytes are not a DHCPv6 message; the text says where and why."""


Option = tuple[int, bytes]
"""Code and value. An option may come more than once, and its place may matter."""


def read_options(area: bytes, name: str) -> tuple[Option, ...]:
    """Return the options of one area in their order.

    Raises:
        Dhcp6Error: An option runs past the end of the area.
    """
    options = []
    position, end = 0, len(area)
    while position < end:
        if position + 4 > end:
            raise Dhcp6Error(f"{end - position} bytes are left over in {name}, too few for an option")
        code, length = struct.unpack_from("!HH", area, position)
        start = position + 4
        position = start + length
        if position > end:
            raise Dhcp6Error(f"option {code} in {name} says {length} bytes, {end - start} are left")
        options.append((code, area[start:position]))
    return tuple(options)


def write_options(options: Iterable[Option]) -> bytes:
    """Return the options as bytes.

    Raises:
        Dhcp6Error: A code or a length is beyond 65535.
    """
    parts = []
    for code, value in options:
        if not 0 <= code <= 0xFFFF or len(value) > 0xFFFF:
            raise Dhcp6Error(f"option {code} of {len(value)} bytes cannot be written")
        parts.append(struct.pack("!HH", code, len(value)) + value)
    return b"".join(parts)


def status(code: Status, text: str = "") -> Option:
    """Return a status code option."""
    return STATUS, struct.pack("!H", code) + text.encode()


class IaAddress(NamedTuple):
    """One address in an association.

    Attributes:
        address: 16 bytes.
        preferred: Seconds.
        valid: Seconds; 0 takes it away.
    """

    address: bytes
    preferred: int = 0
    valid: int = 0

    def option(self) -> Option:
        """Return it as option 5."""
        return IA_ADDRESS, self.address + struct.pack("!II", self.preferred, self.valid)


class IaNa(NamedTuple):
    """A client's association of one interface with addresses (RFC 8415 section 21.4).

    Attributes:
        iaid: The client's number for it.
        addresses: What is in it.
        t1: Seconds until it is to be renewed; 0 leaves that to the client.
        t2: Seconds until any server may be asked; likewise.
        status: Why there is none, or None.
    """

    iaid: int
    addresses: tuple[IaAddress, ...] = ()
    t1: int = 0
    t2: int = 0
    status: tuple[Status, str] | None = None

    @classmethod
    def parse(cls, value: bytes) -> IaNa:
        """Read the value of option 3; statuses that a client sends are not kept.

        Raises:
            Dhcp6Error: It is too short, or an option in it is.
        """
        if len(value) < 12:
            raise Dhcp6Error(f"an IA_NA of {len(value)} bytes, at least 12 are needed")
        iaid, t1, t2 = struct.unpack_from("!III", value)
        addresses = []
        for code, inner in read_options(value[12:], "an IA_NA"):
            if code == IA_ADDRESS:
                if len(inner) < 24:
                    raise Dhcp6Error(f"an IA address of {len(inner)} bytes, at least 24 are needed")
                addresses.append(IaAddress(inner[:16], *struct.unpack_from("!II", inner, 16)))
        return cls(iaid, tuple(addresses), t1, t2)

    def option(self) -> Option:
        """Return it as option 3."""
        inner = [address.option() for address in self.addresses]
        if self.status is not None:
            inner.append(status(*self.status))
        return IA_NA, struct.pack("!III", self.iaid, self.t1, self.t2) + write_options(inner)


class Duid(NamedTuple):
    """What a DUID tells of the machine (RFC 8415 section 11, RFC 6355).

    Attributes:
        mac: The Ethernet address in it: of an interface of the machine, not always of the one it asks by.
        uuid: The 16 bytes of UUID in it.
    """

    mac: str | None = None
    uuid: bytes | None = None

    @classmethod
    def parse(cls, value: bytes) -> Duid:
        """Read a DUID; kinds that tell nothing, and malformed ones, are empty."""
        kind = int.from_bytes(value[:2], "big") if len(value) > 2 else 0
        if kind == 4 and len(value) == 18:
            return cls(uuid=value[2:])
        # With a time of generation (1) or without (3), each after the kind of hardware.
        address = value[8:] if kind == 1 else value[4:] if kind == 3 else b""
        if len(address) == 6 and int.from_bytes(value[2:4], "big") == ETHERNET:
            return cls(mac=address.hex(":"))
        return cls()


def link_layer_mac(value: bytes) -> str | None:
    """Return the Ethernet address in option 79 (RFC 6939), which a relay puts there; None: none."""
    if len(value) != 8 or int.from_bytes(value[:2], "big") != ETHERNET:
        return None
    return value[2:].hex(":")


def eui64_mac(address: bytes) -> str | None:
    """Return the MAC in a link-local address that was made of it (RFC 4291 appendix A); None: it was not."""
    if len(address) != 16 or address[:8] != b"\xfe\x80" + bytes(6) or address[11:13] != b"\xff\xfe":
        return None
    return bytes((address[8] ^ 2, *address[9:11], *address[13:])).hex(":")


def classes(value: bytes) -> tuple[bytes, ...]:
    """Return the length-prefixed texts of options 15 and 16; what runs past the end is left out."""
    found = []
    position = 0
    while position + 2 <= len(value):
        start = position + 2
        position = start + int.from_bytes(value[position:start], "big")
        if position > len(value):
            break
        found.append(value[start:position])
    return tuple(found)


def vendor_class(enterprise: int, text: str) -> Option:
    """Return option 16 with one text."""
    data = text.encode()
    return VENDOR_CLASS, struct.pack("!IH", enterprise, len(data)) + data
