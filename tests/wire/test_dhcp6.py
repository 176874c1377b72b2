"""DHCPv6 messages: bytes there and back, what firmware sends, and anything at all."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6 import MOST_RELAYS, Dhcp6Error, Message6, MessageType6, Packet6, RelayHop
from hostler.wire.dhcp6_options import Duid, IaAddress, IaNa, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

# As OVMF (2022.11) sent it for a machine whose UUID is 11223344-5566-7788-99aa-bbccddeeff00.
OVMF_SOLICIT = bytes.fromhex(
    "01d228c7"
    "000100120004443322116655887799aabbccddeeff00"
    "000800020000"
    "0003000c11223344ffffffffffffffff"
    "00060004003b003c"
    "003e000301030a"
    "003d00020007"
    "0010002600000157" "0020" + b"PXEClient:Arch:00007:UNDI:003000".hex()
)  # fmt: skip


def test_what_ovmf_sends_is_understood() -> None:
    """Its DUID holds the machine's UUID as SMBIOS has it; it tells its architecture and asks for a URL."""
    packet = Packet6.parse(OVMF_SOLICIT)
    message = packet.message
    assert (message.kind, message.xid, packet.relays) == (MessageType6.SOLICIT, 0xD228C7, ())
    assert message.duid.uuid == bytes.fromhex("443322116655887799aabbccddeeff00")
    assert (message.architectures, message.vendor_class) == ((7,), "PXEClient:Arch:00007:UNDI:003000")
    assert message.wanted == {option.BOOT_URL, option.BOOT_PARAMETERS}
    (association,) = message.associations
    assert (association.iaid, association.t1, association.addresses) == (0x11223344, 0xFFFFFFFF, ())
    assert message.encode() == OVMF_SOLICIT


def test_an_answer_goes_back_through_the_relays_it_came_by() -> None:
    """Each relay gets its hop count, addresses and interface id back, and nothing else of what it sent."""
    inner = Message6(MessageType6.SOLICIT, 7, ((option.CLIENT_ID, b"\0\3\0\1abcdef"),)).encode()
    link, peer = IPv6Address("fd88::1").packed, IPv6Address("fe80::5054:ff:fe77:2").packed
    near = bytes((12, 0)) + link + peer + option.write_options(
        [(option.INTERFACE_ID, b"eth7"), (option.CLIENT_LINK_LAYER, b"\0\1RT\0w\0\2"), (9, inner)]
    )  # fmt: skip
    far = bytes((12, 1)) + bytes(16) + IPv6Address("fd99::2").packed + option.write_options([(9, near)])
    packet = Packet6.parse(far)
    assert [(hop.hops, hop.peer[:2]) for hop in packet.relays] == [(1, b"\xfd\x99"), (0, b"\xfe\x80")]
    assert (
        option.link_layer_mac(packet.relays[1].first(option.CLIENT_LINK_LAYER) or b"") == "52:54:00:77:00:02"
    )
    answer = packet.answer(Message6(MessageType6.ADVERTISE, 7, ((option.PREFERENCE, b"\xff"),)))
    expected = bytes((13, 1)) + bytes(16) + IPv6Address("fd99::2").packed + option.write_options(
        [(9, bytes((13, 0)) + link + peer + option.write_options(
            [(option.INTERFACE_ID, b"eth7"), (9, b"\x02\0\0\x07\0\7\0\1\xff")]
        ))]
    )  # fmt: skip
    assert answer == expected


def test_an_association_comes_back_as_it_was_written() -> None:
    """Its addresses with their lifetimes; statuses are for clients."""
    written = IaNa(5, (IaAddress(IPv6Address("fd77::5").packed, 100, 200),), 50, 80)
    code, value = written.option()
    assert (code, IaNa.parse(value)) == (option.IA_NA, written)
    refused = IaNa(5, status=(Status.NO_ADDRESSES, "none left")).option()[1]
    assert refused == struct.pack("!IIIHHH", 5, 0, 0, option.STATUS, 11, 2) + b"none left"


@pytest.mark.parametrize(
    ("duid", "mac", "uuid"),
    [
        ("0001000127a1b2c3525400770002", "52:54:00:77:00:02", None),
        ("00030001525400770002", "52:54:00:77:00:02", None),
        ("00030020525400770002", None, None),  # InfiniBand
        ("000200000ab00102030405", None, None),
        ("0004" + "11" * 16, None, "11" * 16),
        ("0004" + "11" * 15, None, None),
        ("0001", None, None),
        ("", None, None),
    ],
)
def test_a_duid_tells_what_it_holds(duid: str, mac: str | None, uuid: str | None) -> None:
    """Ethernet address or UUID; of any other kind nothing."""
    assert Duid.parse(bytes.fromhex(duid)) == Duid(mac, bytes.fromhex(uuid) if uuid else None)


def test_a_mac_is_read_out_of_a_link_local_address_made_of_it() -> None:
    """And out of no other address."""
    for text, mac in (
        ("fe80::5054:ff:fe77:2", "52:54:00:77:00:02"),
        ("fe80::250:56ff:fe00:1", "00:50:56:00:00:01"),
        ("fe80::1", None),
        ("fd77::5054:ff:fe77:2", None),
        ("fe80:0:0:1:5054:ff:fe77:2", None),
    ):
        assert option.eui64_mac(IPv6Address(text).packed) == mac


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes are too few"),
        (b"\1\0\0", "3 bytes are too few"),
        (b"\1\0\0\0\0\1", "2 bytes are left over"),
        (b"\1\0\0\0\0\1\0\5abc", "option 1 in the message says 5 bytes, 3 are left"),
        (b"\x0c\0" + bytes(31), "33 bytes are too few for a relay's message"),
        (b"\x0c\0" + bytes(32), "holds 0 messages, not one"),
        (b"\x0c\0" + bytes(32) + b"\0\x09\0\4\1\0\0\0" * 2, "holds 2 messages, not one"),
        (b"\x0d\0" + bytes(32) + b"\0\x09\0\4\1\0\0\0", "a relay's message where a client's is expected"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(data: bytes, says: str) -> None:
    """For the trace."""
    with pytest.raises(Dhcp6Error, match=says):
        Packet6.parse(data)


def test_relays_within_relays_have_an_end() -> None:
    """As many as RFC 3315 allows, and not one more."""

    def nested(depth: int) -> bytes:
        data = Message6(MessageType6.SOLICIT, 1, ()).encode()
        for _ in range(depth):
            data = b"\x0c\0" + bytes(32) + option.write_options([(option.RELAY_MESSAGE, data)])
        return data

    assert len(Packet6.parse(nested(MOST_RELAYS)).relays) == MOST_RELAYS
    with pytest.raises(Dhcp6Error, match="more than 32 relays"):
        Packet6.parse(nested(MOST_RELAYS + 1))


def read_all(data: bytes) -> None:
    """Everything a server reads of a datagram."""
    packet = Packet6.parse(data)
    message = packet.message
    _ = (
        message.associations, message.duid, message.wanted, message.architectures, message.vendor_class,
        message.user_classes, packet.answer(Message6(MessageType6.REPLY, message.xid, ())),
        [option.link_layer_mac(hop.first(option.CLIENT_LINK_LAYER) or b"") for hop in packet.relays],
    )  # fmt: skip


def refused_or_read(data: bytes) -> None:
    try:
        read_all(data)
    except Dhcp6Error as error:
        assert str(error)  # noqa: PT017 - either is right, anything else is not


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but the named error comes out."""
    refused_or_read(data)


def test_every_prefix_of_a_message_is_read_or_refused() -> None:
    """Cut after each byte, direct and through a relay."""
    relayed = b"\x0c\0" + bytes(32) + option.write_options([(option.RELAY_MESSAGE, OVMF_SOLICIT)])
    for whole in (OVMF_SOLICIT, relayed):
        for end in range(len(whole)):
            refused_or_read(whole[:end])


OPTIONS = st.lists(st.tuples(st.integers(0, 100), st.binary(max_size=40)), max_size=8)


@given(st.integers(1, 11), st.integers(0, 2**24 - 1), OPTIONS)
def test_a_message_comes_back_as_it_was_written(
    kind: int, xid: int, options: Sequence[tuple[int, bytes]]
) -> None:
    """Options keep their order and their number."""
    message = Message6(kind, xid, tuple(options))
    assert Packet6.parse(message.encode()) == Packet6(message)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(min_size=16, max_size=16)), max_size=4), OPTIONS)
def test_a_relayed_message_comes_back_as_it_was_written(
    hops: Sequence[tuple[int, bytes]], options: Sequence[tuple[int, bytes]]
) -> None:
    """The relay that sent the datagram comes first."""
    own = tuple(pair for pair in options if pair[0] != option.RELAY_MESSAGE)
    data = message = Message6(MessageType6.SOLICIT, 3, ()).encode()
    for number, link in reversed(hops):
        data = bytes((12, number)) + link + bytes(16) + option.write_options([*own, (9, data)])
    packet = Packet6.parse(data)
    assert packet.relays == tuple(RelayHop(number, link, bytes(16), own) for number, link in hops)
    assert packet.message.encode() == message
