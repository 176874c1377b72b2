"""DHCPv4 options: their numbers, and bytes to options and back (RFC 2132, 3396, 3046, 4578)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PAD = 0
SUBNET_MASK = 1
ROUTER = 3
DNS = 6
BROADCAST = 28
VENDOR = 43
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
OVERLOAD = 52
MESSAGE_TYPE = 53
SERVER_ID = 54
PARAMETER_LIST = 55
MESSAGE = 56
MAX_SIZE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
VENDOR_CLASS = 60
CLIENT_ID = 61
TFTP_SERVER = 66
BOOT_FILE = 67
USER_CLASS = 77
RELAY_AGENT = 82
CLIENT_ARCH = 93
CLIENT_NDI = 94
CLIENT_UUID = 97
IPXE = 175
PXELINUX_CONFIG = 209
PXELINUX_PREFIX = 210
END = 255

PXE_DISCOVERY_CONTROL = 6
"""Sub-option of 43: bit 3 set says "use the boot file you were given, look for no boot server"."""
PXE_BOOT_MENU = 9
"""Sub-option of 43: entries of a boot menu, each a type (2 bytes), a length (1 byte) and a text."""
PXE_MENU_PROMPT = 10
"""Sub-option of 43: seconds (1 byte; 0 chooses the first entry at once) and a text."""
IPXE_NO_PROXY = 176
"""Sub-option of 175: do not wait for a ProxyDHCP offer."""
IPXE_HTTP = 0x13
"""Sub-option of 175: this build of iPXE speaks HTTP."""
RELAY_CIRCUIT_ID = 1
"""Sub-option of 82: the port a request came in on (RFC 3046)."""
RELAY_REMOTE_ID = 2
"""Sub-option of 82: the relay or switch that has this port (RFC 3046)."""
RELAY_LINK_SELECTION = 5
"""Sub-option of 82: the subnet to serve when it is not the relay's own (RFC 3527)."""
RELAY_SERVER_ID = 11
"""Sub-option of 82: what the server is to put in option 54 (RFC 5107)."""

_LONGEST = 255


class MessageType(IntEnum):
    """Option 53."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class DhcpError(ValueError):
    """These bytes are not a DHCP message, or this message has no bytes; the text says where and why."""


def read_options(area: bytes, into: dict[int, bytes], name: str) -> None:
    """Add the options of one area to ``into``; the parts of a split option are joined (RFC 3396).

    Raises:
        DhcpError: An option runs past the end of the area. A missing end mark is tolerated.
    """
    position, end = 0, len(area)
    while position < end:
        code = area[position]
        if code == PAD:
            position += 1
            continue
        if code == END:
            return
        if position + 2 > end:
            raise DhcpError(f"option {code} in the {name} area has no length")
        start = position + 2
        position = start + area[position + 1]
        if position > end:
            raise DhcpError(
                f"option {code} in the {name} area says {area[start - 1]} bytes, {end - start} are left"
            )
        if code in into:
            into[code] += area[start:position]
        else:
            into[code] = area[start:position]


def write_options(options: Mapping[int, bytes]) -> bytes:
    """Return the options in their order, without an end mark; values beyond 255 bytes are split (RFC 3396).

    Raises:
        DhcpError: A code is not 1…254.
    """
    parts = []
    for code, value in options.items():
        if not PAD < code < END:
            raise DhcpError(f"{code} is no option code")
        if len(value) <= _LONGEST:
            parts.append(bytes((code, len(value))) + value)
        else:
            parts.extend(split_option(code, value))
    return b"".join(parts)


def split_option(code: int, value: bytes) -> list[bytes]:
    """Return one option as it stands on the wire: one piece, or several of at most 255 bytes each."""
    chunks = [value[at : at + _LONGEST] for at in range(0, len(value), _LONGEST)] or [b""]
    return [bytes((code, len(chunk))) + chunk for chunk in chunks]


def encapsulate(options: Iterable[tuple[int, bytes]], *, end: bool = False) -> bytes:
    """Return sub-options for 43, 82 or 175; PXE ROMs want 43 closed with an end mark.

    Raises:
        DhcpError: A code is not 1…254 or a value is longer than 255 bytes.
    """
    parts = []
    for code, value in options:
        if not PAD < code < END or len(value) > _LONGEST:
            raise DhcpError(f"sub-option {code} of {len(value)} bytes cannot be written")
        parts.append(bytes((code, len(value))) + value)
    return b"".join(parts) + (b"\xff" if end else b"")


def decapsulate(value: bytes) -> dict[int, bytes]:
    """Return the sub-options of 43, 82 or 175 by code.

    Raises:
        DhcpError: A sub-option runs past the end.
    """
    options: dict[int, bytes] = {}
    read_options(value, options, "encapsulated")
    return options


def user_classes(value: bytes) -> tuple[bytes, ...]:
    """Return the classes in option 77: length-prefixed (RFC 3004), or one raw string as iPXE sends it."""
    classes = []
    position = 0
    while position < len(value):
        start = position + 1
        position = start + value[position]
        if position > len(value) or position == start:
            return (value,)
        classes.append(value[start:position])
    return tuple(classes)
