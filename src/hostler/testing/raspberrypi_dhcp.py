"""The DHCP half of a Raspberry Pi's firmware, without sockets: what it sends, and which offers it takes.

As seen on the wire and told by its makers in rpi-eeprom#17, #74, #82, #87, #103 and #182; nothing here is
shared with the server it talks to except the encoding of DHCP messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from hostler.wire.dhcp import ETHERNET, NOWHERE, REQUEST, Message, MessageType
from hostler.wire.dhcp_options import (
    CLIENT_ARCH,
    CLIENT_NDI,
    CLIENT_UUID,
    MESSAGE_TYPE,
    PARAMETER_LIST,
    REQUESTED_ADDRESS,
    SERVER_ID,
    TFTP_SERVER,
    VENDOR,
    VENDOR_CLASS,
)

_CLASS = b"PXEClient:Arch:00000:UNDI:002001"
_ASKED = bytes((1, 3, 43, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135))
_MENU, _END = 9, 255
_ROM_GUID = b"\0" + b"\x44" * 16


class Guid(StrEnum):
    """What option 97 holds.

    Attributes:
        LITTLE: ``RPi4``, revision, end of the MAC, serial; numbers little endian.
        BIG: The same with every word the other way round.
        SERIAL: The serial four times, as EEPROMs before 2020-03 had it.
        NO_MAC: Like LITTLE with zeros for the MAC (EEPROM of 2020-03-04).
        ROM: Sixteen times 0x44, as the ROM of a Pi 3 says.
    """

    LITTLE = "little"
    BIG = "big"
    SERIAL = "serial"
    NO_MAC = "no-mac"
    ROM = "rom"


@dataclass(frozen=True, slots=True)
class Model:
    """One board, as far as its network boot shows.

    Attributes:
        generation: 3, 4 or 5; a Compute Module counts as the board of its number.
        serial: Eight hexadecimal digits.
        mac: Lower case with colons.
        revision: Revision code.
        guid: What it says in option 97.
        block: TFTP block size: 1468, or 1024 for an EEPROM before late 2022.
        rollover: Whether it goes on after block 65535 (EEPROMs since 2025-09).
        prefix: EEPROM setting ``TFTP_PREFIX``: 0 serial number, 1 ``prefix_text``, 2 MAC with dashes.
        prefix_text: EEPROM setting ``TFTP_PREFIX_STR``.
        ramdisk: Whether it boots ``boot.img`` (``boot_ramdisk=1`` in the EEPROM's settings).
        device_tree: Its name without ``bcm…-rpi-`` and ``.dtb``; None: that of the model B.
        request_class: Whether its REQUEST has option 60; EEPROMs of 2020 left it out.
    """

    generation: int
    serial: str
    mac: str
    revision: int = 0xC03111
    guid: Guid = Guid.LITTLE
    block: int = 1468
    rollover: bool = False
    prefix: int = 0
    prefix_text: str = ""
    ramdisk: bool = False
    device_tree: str | None = None
    request_class: bool = False

    @property
    def chaddr(self) -> bytes:
        """The MAC as bytes."""
        return bytes.fromhex(self.mac.replace(":", ""))


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer the firmware takes, whole or as one half of what it needs.

    Attributes:
        address: Its address from now on; 0.0.0.0 in the offer of a proxy.
        mask: Subnet mask, or None.
        server: Who made the offer (option 54).
        tftp: Where it fetches its files.
    """

    address: IPv4Address
    mask: IPv4Address | None
    server: IPv4Address
    tftp: IPv4Address


def discover(model: Model, xid: int, secs: int = 0) -> bytes:
    """Return its DISCOVER."""
    options = {
        MESSAGE_TYPE: bytes((MessageType.DISCOVER,)),
        PARAMETER_LIST: _ASKED,
        CLIENT_ARCH: b"\0\0",
        CLIENT_NDI: b"\x01\x02\x01",
        CLIENT_UUID: guid(model),
        VENDOR_CLASS: _CLASS,
    }
    return Message(REQUEST, xid, model.chaddr, options, secs=secs).encode()


def request(model: Model, xid: int, offer: Offer) -> bytes:
    """Return the REQUEST of a Pi 4 or 5; the ROM of a Pi 3 sends none."""
    options = {
        MESSAGE_TYPE: bytes((MessageType.REQUEST,)),
        REQUESTED_ADDRESS: offer.address.packed,
        SERVER_ID: offer.server.packed,
        PARAMETER_LIST: _ASKED,
        CLIENT_ARCH: b"\0\0",
        CLIENT_NDI: b"\x01\x02\x01",
        CLIENT_UUID: guid(model),
    }
    if model.request_class:
        options[VENDOR_CLASS] = _CLASS
    return Message(REQUEST, xid, model.chaddr, options).encode()


def guid(model: Model) -> bytes:
    """Return option 97: kind 0 and 16 bytes."""
    if model.guid is Guid.ROM:
        return _ROM_GUID
    serial = bytes.fromhex(model.serial)
    if model.guid is Guid.SERIAL:
        return b"\0" + serial[::-1] * 4
    mac = NOWHERE if model.guid is Guid.NO_MAC else model.chaddr[:1:-1]
    words = (f"RPi{model.generation}".encode(), model.revision.to_bytes(4, "little"), mac, serial[::-1])
    return b"\0" + b"".join(word[::-1] if model.guid is Guid.BIG else word for word in words)


def judge(model: Model, xid: int, datagram: bytes) -> Offer | str:
    """Return the offer if the firmware takes it, else the reason why not.

    Raises:
        DhcpError: The datagram is no DHCP message.
    """
    message = Message.parse(datagram)
    if message.op == REQUEST or message.xid != xid or message.chaddr != model.chaddr:
        return "not for this board"
    if message.htype != ETHERNET or message.message_type != MessageType.OFFER:
        return "not an offer"
    if model.generation == 3 and (message.hops or message.giaddr != NOWHERE):
        return "it came through a relay, and the ROM of a Pi 3 ignores that"
    if not message.vendor_class.startswith("PXEClient"):
        return "option 60 is not PXEClient"
    wanted = "Raspberry Pi Boot   " if model.generation == 3 else "Raspberry Pi Boot"
    texts = menu_texts(message.options.get(VENDOR, b""))
    if not any(text.startswith(wanted) for text in texts):
        return f"option 43 has no menu entry {wanted!r}"
    server = message.server_id
    named = message.options.get(TFTP_SERVER, b"").rstrip(b"\0").decode("ascii", "replace")
    tftp = message.siaddr if message.siaddr != NOWHERE else IPv4Address(named).packed if named else server
    if server is None or tftp is None:
        return "no server is named"
    mask = message.options.get(1)
    return Offer(
        IPv4Address(message.yiaddr),
        IPv4Address(mask) if mask else None,
        IPv4Address(server),
        IPv4Address(tftp),
    )


def lease_only(model: Model, xid: int, datagram: bytes) -> Offer | None:
    """Return what a DHCP server offers that says nothing about booting; the files are a proxy's part.

    Raises:
        DhcpError: The datagram is no DHCP message.
    """
    message = Message.parse(datagram)
    offered = message.message_type == MessageType.OFFER and message.yiaddr != NOWHERE
    server = message.server_id
    if not offered or message.xid != xid or message.chaddr != model.chaddr or server is None:
        return None
    mask = message.options.get(1)
    return Offer(
        IPv4Address(message.yiaddr), IPv4Address(mask) if mask else None, IPv4Address(server), IPv4Address(0)
    )


def is_acknowledged(model: Model, xid: int, datagram: bytes) -> bool:
    """Whether this is the ACK that ends the exchange.

    Raises:
        DhcpError: The datagram is no DHCP message.
    """
    message = Message.parse(datagram)
    return message.xid == xid and message.chaddr == model.chaddr and message.message_type == MessageType.ACK


def menu_texts(vendor: bytes) -> list[str]:
    """Return the texts of the boot menu in option 43, byte by byte as an embedded reader walks it."""
    texts: list[str] = []
    at = 0
    while at + 1 < len(vendor) and vendor[at] != _END:
        code, length = vendor[at], vendor[at + 1]
        body = vendor[at + 2 : at + 2 + length]
        while code == _MENU and len(body) >= 3 and len(body) >= 3 + body[2]:
            texts.append(body[3 : 3 + body[2]].decode("ascii", "replace"))
            body = body[3 + body[2] :]
        at += 2 + length
    return texts
