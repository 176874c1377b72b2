"""Anything at all on the DHCP ports: no exception, no answer to what must not be answered, bounded memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from socket import inet_aton

from hypothesis import given, settings
from hypothesis import strategies as st
from test_dhcp_exchange import FILES, MAC, OTHER, network

from hostler.model.boot import BootIntent
from hostler.model.trace import TraceEvent
from hostler.netboot.dhcp_exchange import DhcpExchange, Reply
from hostler.netboot.served_network import ServedNetwork
from hostler.netboot.table import MOST_STAND_INS, BootTable, DhcpMode, Target
from hostler.wire.dhcp import NOWHERE, DhcpError, Message, MessageType

UUID = bytes(range(1, 17))
ADDRESSES = [
    NOWHERE, b"\xff\xff\xff\xff", *(inet_aton(text) for text in (
        "10.77.0.1", "10.77.0.100", "10.77.0.255", "10.77.1.9", "10.77.2.9", "10.88.0.1", "10.88.0.100",
        "192.0.2.7",
    )),
]  # fmt: skip
KNOWN = {
    50: st.sampled_from(ADDRESSES), 54: st.sampled_from(ADDRESSES),
    57: st.binary(min_size=2, max_size=2), 55: st.binary(max_size=20), 61: st.binary(max_size=20),
    60: st.sampled_from([b"PXEClient:Arch:00000", b"PXEClient:Arch:00007", b"HTTPClient:Arch:00016",
                         b"U-Boot.armv8", b"udhcp"]),
    77: st.sampled_from([b"iPXE", b"\4iPXE", b""]),
    82: st.sampled_from([b"\1\4eth3", b"\1\4eth3\2\6switch", b"\5\4" + inet_aton("10.88.0.0"),
                         b"\5\3abc", b"\x0b\4\n\x58\0\1", b"\1\xff"]),
    93: st.sampled_from([b"\0\0", b"\0\7", b"\0\x0b", b"\0\x29", b"\0"]),
    97: st.sampled_from([b"\0" + UUID, b"\0" + bytes(16), b"\1" + UUID, b"\0RPi4" + UUID[:12]]),
    175: st.binary(max_size=12),
}  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Messages close to real ones, with anything in the place of anything."""
    options = {53: bytes((draw(st.integers(1, 9)),))}
    for code in draw(st.sets(st.sampled_from(sorted(KNOWN)))):
        options[code] = draw(st.one_of(KNOWN[code], st.binary(max_size=30)))
    return Message(
        draw(st.sampled_from([1, 1, 1, 2])),
        draw(st.integers(0, 2**32 - 1)),
        draw(
            st.sampled_from(
                [bytes.fromhex(mac.replace(":", "")) for mac in (MAC, OTHER)] + [bytes(6), b"abc"]
            )
        ),
        options,
        hops=draw(st.integers(0, 255)),
        flags=draw(st.sampled_from([0, 0x8000])),
        ciaddr=draw(st.sampled_from(ADDRESSES)),
        giaddr=draw(st.sampled_from([NOWHERE, NOWHERE, *ADDRESSES])),
    )


def exchange() -> tuple[DhcpExchange, list[ServedNetwork], list[TraceEvent]]:
    """An own network, a proxied one, one of somebody else, and one behind a relay."""
    own, proxied, off = network("own", 0), network("proxied", 1), network("off", 2)
    behind = replace(
        own.config, name="far", behind=IPv4Network("10.88.0.0/24"),
        range_first=IPv4Address("10.88.0.100"), range_last=IPv4Address("10.88.0.110"),
    )  # fmt: skip
    served = [
        own,
        ServedNetwork(replace(proxied.config, dhcp=DhcpMode.PROXY, range_first=None, range_last=None)),
        ServedNetwork(replace(off.config, dhcp=DhcpMode.OFF)),
        ServedNetwork(behind),
    ]
    table = BootTable()
    table.put(Target("b1", "x86-bios", "amd64", (MAC,), intent=BootIntent.HOLD))
    table.put(
        Target("b2", "x86-uefi", "amd64", (), intent=BootIntent.LOCAL, circuit_id=b"eth3".hex(),
               uuid="04030201-0605-0807-090a-0b0c0d0e0f10")
    )  # fmt: skip
    events: list[TraceEvent] = []
    return DhcpExchange(served, table, FILES, events.append), served, events


def check(asked: Message, reply: Reply, source: tuple[str, int] | None) -> None:
    """What holds of every answer."""
    answer = Message.parse(reply.data)
    assert asked.op == 1
    assert answer.op == 2
    assert (answer.xid, answer.chaddr, answer.giaddr) == (asked.xid, asked.chaddr, asked.giaddr)
    assert answer.message_type in (MessageType.OFFER, MessageType.ACK, MessageType.NAK)
    assert len(reply.data) <= max(asked.reply_limit, 300)
    assert answer.options.get(82) == asked.options.get(82)
    assert answer.server_id is not None
    if answer.yiaddr != NOWHERE:
        assert answer.yiaddr[:3] in (inet_aton("10.77.0.0")[:3], inet_aton("10.88.0.0")[:3])
    where = reply.destination
    if source is not None:
        assert where == source
    elif asked.giaddr != NOWHERE:
        assert where == (".".join(map(str, asked.giaddr)), 67)
    else:
        assert where in (("255.255.255.255", 68), (".".join(map(str, asked.ciaddr)), 68))


@settings(max_examples=300)
@given(st.lists(st.tuples(messages(), st.integers(0, 2), st.booleans()), max_size=8))
def test_any_conversation_keeps_the_rules(asked: list[tuple[Message, int, bool]]) -> None:
    """Nothing is answered on a network that is off, no proxy gives an address, and 82 comes back."""
    dhcp, served, _ = exchange()
    for number, (message, place, binl) in enumerate(asked):
        try:
            data = message.encode(1472)
        except DhcpError:
            continue
        source = ("10.77.1.9", 4011) if binl else None
        reply = dhcp.receive(data, served[place], 1000.0 + number, source)
        if reply is None:
            continue
        check(message, reply, source)
        if binl or (message.giaddr == NOWHERE and 5 not in message.relay_options and place == 1):
            config = served[place].config
            if not binl and message.ciaddr[:3] == inet_aton("10.88.0.0")[:3]:
                continue  # a renewal from behind a relay
            assert config.dhcp is DhcpMode.PROXY or binl
            assert Message.parse(reply.data).yiaddr == NOWHERE


@settings(max_examples=60)
@given(messages(), st.integers(0, 3), st.data())
def test_cut_short_or_with_one_byte_changed(message: Message, place: int, data: st.DataObject) -> None:
    """Every prefix of a datagram, and a wrong byte anywhere, is answered by the rules or not at all."""
    dhcp, served, _ = exchange()
    whole = message.encode(1472)
    for end in range(0, len(whole), 7):
        dhcp.receive(whole[:end], served[place], 1.0)
    at, value = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    dhcp.receive(whole[:at] + bytes((value,)) + whole[at + 1 :], served[place], 2.0)


def test_a_flood_of_senders_takes_bounded_memory() -> None:
    """Six thousand made-up machines, on the own network, beside another server, and behind one port."""
    dhcp, served, events = exchange()
    tracemalloc.start()
    try:
        for number in range(6_000):
            mac = (0x020000000000 + number).to_bytes(6, "big")
            for place, options in (
                (0, {53: b"\1"}),
                (1, {53: b"\3", 50: b"\n\x4d\1" + bytes((number % 250 + 2,)), 60: b"PXEClient", 93: b"\0\0"}),
                (0, {53: b"\1", 82: b"\1\4eth3"}),
            ):  # fmt: skip
                dhcp.receive(Message(1, number, mac, options).encode(), served[place], 1000.0 + number / 1e4)
            dhcp.records.clear()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(events) < 2000
    assert peak < 6_000_000
    stand_ins = sum(
        dhcp._table.by_mac((0x020000000000 + n).to_bytes(6, "big").hex(":")) is not None for n in range(6_000)
    )
    assert 0 < stand_ins <= MOST_STAND_INS
