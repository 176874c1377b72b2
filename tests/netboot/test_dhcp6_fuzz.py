"""Anything at all on the DHCPv6 port: no exception, no answer that must not be, bounded memory."""

from __future__ import annotations

import tracemalloc

from dhcp6_talk import (
    CONFIG,
    DUID,
    FAR,
    HTTP,
    IPXE,
    MAC,
    OTHER,
    PXE,
    SERVER,
    Lab,
    association,
    link_local,
    packed,
    unwrapped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.netboot.dhcp6_exchange import Source6
from hostler.netboot.table import MOST_STAND_INS
from hostler.wire import dhcp6_options as option
from hostler.wire.dhcp6 import Message6, MessageType6, Packet6
from hostler.wire.dhcp6_options import IaAddress, IaNa, Option, Status

ADDRESSES = st.sampled_from(
    [bytes(16), *(packed(text) for text in (
        "fd77::1", "fd77::1000", "fd77::1003", "fd77::ffff", "fd88::2", "fd88::100", "fe80::1", "ff02::1:2",
        "2001:db8::66", link_local(MAC), link_local(OTHER),
    ))]
)  # fmt: skip
DUIDS = st.sampled_from(
    [DUID, SERVER, b"\0\3\0\1RT\0w\0\3", b"\0\1\0\1" + bytes(4) + b"RT\0w\0\2", b"\0\4" + bytes(16), b"",
     bytes(131)]
)  # fmt: skip
VALUES: dict[int, st.SearchStrategy[bytes]] = {
    option.SERVER_ID: st.sampled_from([SERVER, SERVER, b"\0\4" + bytes(16)]),
    option.IA_TA: st.binary(max_size=12),
    option.IA_PD: st.binary(max_size=20),
    option.OPTION_REQUEST: st.binary(max_size=8),
    option.RAPID_COMMIT: st.just(b""),
    option.USER_CLASS: st.sampled_from([IPXE[-1][1], b"\0\4iPX", b"\xff\xff"]),
    option.VENDOR_CLASS: st.sampled_from([PXE[1][1], HTTP[1][1], b"\0\0"]),
    option.CLIENT_ARCH: st.sampled_from([b"\0\0", b"\0\7", b"\0\x0b", b"\0\x10", b"\0\x16", b"\0", b""]),
    option.CLIENT_NII: st.binary(max_size=4),
    option.STATUS: st.binary(max_size=4),
    option.RELAY_MESSAGE: st.binary(max_size=8),
}
RELAY_VALUES: dict[int, st.SearchStrategy[bytes]] = {
    option.INTERFACE_ID: st.binary(max_size=8),
    option.REMOTE_ID: st.binary(max_size=12),
    option.CLIENT_LINK_LAYER: st.sampled_from([b"\0\1RT\0w\0\2", b"\0\1RT\0w\0\3", b"\0\6abc", b""]),
}


@st.composite
def options(draw: st.DrawFn, known: dict[int, st.SearchStrategy[bytes]]) -> list[Option]:
    """Some options in any order, most of them as they should be."""
    codes = draw(st.lists(st.sampled_from(sorted(known)), max_size=6))
    return [(code, draw(st.one_of(known[code], known[code], st.binary(max_size=20)))) for code in codes]


@st.composite
def messages(draw: st.DrawFn) -> Message6:
    """Messages close to real ones, with anything in the place of anything."""
    chosen = draw(options(VALUES))
    for _ in range(draw(st.integers(0, 3))):
        inner = tuple(IaAddress(address) for address in draw(st.lists(ADDRESSES, max_size=3)))
        chosen.append(IaNa(draw(st.integers(0, 3)), inner).option())
    if draw(st.integers(0, 9)):
        chosen.insert(0, (option.CLIENT_ID, draw(DUIDS)))
    kind = draw(st.one_of(st.sampled_from([1, 3, 4, 5, 6, 8, 9, 11]), st.integers(0, 255)))
    if kind in (MessageType6.RELAY_FORW, MessageType6.RELAY_REPL):
        kind = 1
    return Message6(kind, draw(st.integers(0, 2**24 - 1)), tuple(chosen))


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Messages, some of them through relays."""
    data = draw(messages()).encode()
    for hops in range(draw(st.sampled_from([0, 0, 0, 1, 2, 33]))):
        own = draw(options(RELAY_VALUES))
        head = bytes((MessageType6.RELAY_FORW, hops)) + draw(ADDRESSES) + draw(ADDRESSES)
        data = head + option.write_options([*own, (option.RELAY_MESSAGE, data)])
    return data


SOURCES = st.builds(Source6, ADDRESSES, st.booleans())
_TO_US = {MessageType6.REQUEST, MessageType6.RENEW, MessageType6.RELEASE, MessageType6.DECLINE}
_TO_ALL = {MessageType6.SOLICIT, MessageType6.CONFIRM, MessageType6.REBIND}


def check(data: bytes, source: Source6, reply: bytes, destination: tuple[str, int]) -> None:
    """What holds of every answer."""
    asked = Packet6.parse(data)
    message, answer = asked.message, unwrapped(reply).message
    assert message.kind in _TO_US | _TO_ALL | {MessageType6.INFORMATION_REQUEST}
    assert answer.kind in (MessageType6.ADVERTISE, MessageType6.REPLY)
    assert (answer.xid, answer.client_id, answer.server_id) == (message.xid, message.client_id, SERVER)
    assert destination[1] == (547 if asked.relays else 546)
    assert packed(destination[0]) == source.address
    if message.kind in _TO_US:
        assert message.server_id == SERVER
    if message.kind in _TO_ALL:
        assert message.server_id is None
    given = [each for ia in answer.associations for each in ia.addresses if each.valid]
    if message.kind not in (*_TO_US - {MessageType6.RELEASE, MessageType6.DECLINE}, *_TO_ALL):
        assert given == []
    if not asked.relays and not source.multicast:
        assert dict(answer.options)[option.STATUS][:2] == bytes((0, Status.USE_MULTICAST))
        assert given == []
    assert len(given) <= 1
    for each in given:
        ranges = [(config.range6_first, config.range6_last) for config in (CONFIG, FAR)]
        number = int.from_bytes(each.address, "big")
        assert any(first and last and int(first) <= number <= int(last) for first, last in ranges)
    for hop, back in zip(asked.relays, _wrappings(reply), strict=True):
        assert back[:34] == bytes((MessageType6.RELAY_REPL, hop.hops)) + hop.link + hop.peer
        echoed = dict(option.read_options(back[34:], "")).get(option.INTERFACE_ID)
        assert echoed == hop.first(option.INTERFACE_ID)


def _wrappings(reply: bytes) -> list[bytes]:
    found = []
    while reply[0] == MessageType6.RELAY_REPL:
        found.append(reply)
        reply = dict(option.read_options(reply[34:], ""))[option.RELAY_MESSAGE]
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(packets(), SOURCES), max_size=6))
def test_any_conversation_keeps_the_rules(asked: list[tuple[bytes, Source6]]) -> None:
    """Who is answered, what with and where; no address has two holders."""
    lab = Lab()
    for number, (data, source) in enumerate(asked):
        reply = lab.exchange.receive(data, lab.network, source, 1000.0 + number)
        if reply is not None:
            check(data, source, reply.data, reply.destination)
            assert reply.durable <= bool(lab.records)
    for network in (lab.network, lab.far):
        bound = [lease.address for lease in network.leases]
        assert len(set(bound)) == len(bound)


@settings(max_examples=40, deadline=None)
@given(packets(), SOURCES, st.data())
def test_cut_short_or_with_one_byte_changed(data: bytes, source: Source6, draw: st.DataObject) -> None:
    """Every prefix of a datagram, and a wrong byte anywhere, is answered by the rules or not at all."""
    lab = Lab()
    for end in range(0, len(data), 1 if len(data) < 200 else 7):
        lab.exchange.receive(data[:end], lab.network, source, 1.0)
    at, value = draw.draw(st.integers(0, len(data) - 1)), draw.draw(st.integers(0, 255))
    changed = data[:at] + bytes((value,)) + data[at + 1 :]
    reply = lab.exchange.receive(changed, lab.network, source, 2.0)
    if reply is not None:
        check(changed, source, reply.data, reply.destination)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), SOURCES)
def test_any_bytes_are_survived(data: bytes, source: Source6) -> None:
    """Whatever comes, nothing is raised."""
    lab = Lab()
    lab.exchange.receive(data, lab.network, source, 1.0)


def test_a_flood_of_senders_takes_bounded_memory() -> None:
    """Six thousand made-up machines, here and behind a relay, with the UUID of a board and without."""
    lab = Lab()
    tracemalloc.start()
    try:
        for number in range(6_000):
            mac = (0x020000000000 + number).to_bytes(6, "big")
            duid = (option.CLIENT_ID, b"\0\3\0\1" + mac if number % 2 else DUID)
            private = b"\xfe\x80" + bytes(6) + b"priv" + number.to_bytes(4, "big")
            data = Message6(MessageType6.SOLICIT, number, (duid, association(iaid=number), *PXE)).encode()
            relayed = bytes((12, 0)) + packed("fd88::2") + private + option.write_options([(9, data)])
            now = 1000.0 + number / 1000
            lab.exchange.receive(data, lab.network, Source6(private, multicast=True), now)
            lab.exchange.receive(relayed, lab.network, Source6(packed("fd88::2"), multicast=False), now)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(list(lab.network.leases)) <= 4
    assert len(list(lab.far.leases)) <= 256
    assert len(lab.table._stand_ins) <= MOST_STAND_INS
    assert size < 12_000_000
    assert len(lab.events) < 2_000
