"""The DHCP server without sockets: RFC 2131's rules, relays, and what reaches the trace."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.boot import BootIntent
from hostler.model.trace import TraceEvent
from hostler.netboot.dhcp_exchange import DhcpExchange, Reply
from hostler.netboot.served_network import ServedNetwork
from hostler.netboot.table import BootTable, NetworkConfig, Target
from hostler.wire.dhcp import NOWHERE, Message, MessageType

MAC = "52:54:00:77:00:01"
OTHER = "52:54:00:77:00:02"
FILES = frozenset(("undionly.kpxe", "snponly.efi"))
EVERYBODY = ("255.255.255.255", 68)
IPXE = {60: b"PXEClient:Arch:00000", 77: b"iPXE", 93: b"\0\0", 175: b"\x13\x01\x01"}


def ip(address: str) -> bytes:
    return IPv4Address(address).packed


def network(name: str, third: int) -> ServedNetwork:
    return ServedNetwork(
        NetworkConfig(
            name,
            f"{name}0",
            IPv4Interface(f"10.77.{third}.1/24"),
            IPv4Address(f"10.77.{third}.100"),
            IPv4Address(f"10.77.{third}.199"),
            router=IPv4Address(f"10.77.{third}.1"),
            dns=(IPv4Address("9.9.9.9"), IPv4Address("1.1.1.1")),
            lease_seconds=600,
        )
    )


class Bench:
    """A server for two networks, one board, and a clock."""

    def __init__(self, **board: object) -> None:
        self.lab, self.line = network("lab", 0), network("line", 1)
        self.table = BootTable()
        if board:
            self.table.put(Target("b1", "x86-bios", "amd64", (MAC,), **board))  # type: ignore[arg-type]
        self.events: list[TraceEvent] = []
        self.exchange = DhcpExchange((self.lab, self.line), self.table, FILES, self.events.append)
        self.now = 1000.0
        self.arrived = self.lab

    def send(
        self, kind: int, options: dict[int, bytes] | None = None, mac: str = MAC, **fields: object
    ) -> Reply | None:
        message = Message(
            1,
            0x1234,
            bytes.fromhex(mac.replace(":", "")),
            {53: bytes((kind,)), **(options or {})},
            **fields,  # type: ignore[arg-type]
        )
        reply = self.exchange.receive(message.encode(), self.arrived, self.now)
        if reply is not None and reply.event is not None:
            self.events.append(reply.event)
        return reply

    def ask(self, *arguments: object, **fields: object) -> tuple[Message, Reply]:
        reply = self.send(*arguments, **fields)  # type: ignore[arg-type]
        assert reply is not None, self.events[-1:]
        return Message.parse(reply.data), reply

    def lease(self, mac: str = MAC) -> bytes:
        offer, _ = self.ask(MessageType.DISCOVER, mac=mac)
        ack, _ = self.ask(MessageType.REQUEST, {50: offer.yiaddr, 54: ip("10.77.0.1")}, mac)
        assert ack.message_type == MessageType.ACK
        return ack.yiaddr

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def test_a_client_gets_an_address_in_four_steps() -> None:
    """DISCOVER, OFFER, REQUEST, ACK; only the ACK waits for the disk; the settings are the network's."""
    bench = Bench()
    offer, reply = bench.ask(MessageType.DISCOVER)
    assert (offer.op, offer.message_type, offer.xid, offer.mac) == (2, MessageType.OFFER, 0x1234, MAC)
    assert reply.destination == EVERYBODY
    assert not reply.durable
    assert bench.exchange.records == []
    ack, reply = bench.ask(MessageType.REQUEST, {50: offer.yiaddr, 54: ip("10.77.0.1")})
    assert ack.yiaddr == offer.yiaddr == ip("10.77.0.100")
    assert reply.durable
    assert len(bench.exchange.records) == 1
    assert dict(ack.options) == {
        53: b"\x05",
        54: ip("10.77.0.1"),
        1: ip("255.255.255.0"),
        3: ip("10.77.0.1"),
        6: ip("9.9.9.9") + ip("1.1.1.1"),
        28: ip("10.77.0.255"),
        51: (600).to_bytes(4, "big"),
        58: (300).to_bytes(4, "big"),
        59: (525).to_bytes(4, "big"),
    }
    assert bench.kinds == ["discover", "offer", "request", "ack"]


def test_the_mac_counts_and_not_the_client_id() -> None:
    """Firmware, iPXE and Linux send three ids for one interface; it keeps its address, the id is echoed."""
    bench = Bench()
    first = bench.lease()
    for client_id in (b"\0" + bytes(16), b"\xff\0\0\0\1"):
        offer, _ = bench.ask(MessageType.DISCOVER, {61: client_id})
        assert offer.yiaddr == first
        assert offer.options[61] == client_id


def test_firmware_gets_its_boot_file_with_the_lease() -> None:
    """OFFER and ACK both name what to boot, in the header field and in the option, and so does the trace."""
    bench = Bench(intent=BootIntent.STEP, boot="boot-1", token="secret")
    offer, _ = bench.ask(MessageType.DISCOVER, IPXE)
    ack, _ = bench.ask(MessageType.REQUEST, {**IPXE, 50: offer.yiaddr, 54: ip("10.77.0.1")})
    for message in (offer, ack):
        assert message.file == b"http://10.77.0.1:8067/boot/ipxe" == message.options[67]
        assert message.siaddr == ip("10.77.0.1")
    assert {event.board for event in bench.events} == {"b1"}
    assert {event.boot for event in bench.events} == {"boot-1"}
    assert bench.events[0].data["firmware"] == "ipxe"
    assert bench.events[-1].data["address"] == "10.77.0.100"
    assert bench.events[-1].data["file"] == "http://10.77.0.1:8067/boot/ipxe"
    assert "secret" not in str(bench.events)


def test_a_board_has_its_fixed_address() -> None:
    """The inventory's address is offered; asking for another is refused."""
    bench = Bench(address="10.77.0.50")
    assert bench.lease() == ip("10.77.0.50")
    nak, _ = bench.ask(MessageType.REQUEST, {50: ip("10.77.0.100")})
    assert nak.message_type == MessageType.NAK


def test_a_fixed_address_outside_the_network_is_said_and_not_offered() -> None:
    """It could not be used there."""
    bench = Bench(address="10.99.0.5")
    assert bench.send(MessageType.DISCOVER) is None
    assert "10.99.0.5 cannot be used on 10.77.0.0/24" in bench.events[-1].text


def test_a_boards_second_interface_gets_another_address() -> None:
    """One address cannot be on two interfaces at once."""
    bench = Bench()
    bench.table.put(Target("b1", "x86-bios", "amd64", (MAC, OTHER), address="10.77.0.50"))
    assert bench.lease() == ip("10.77.0.50")
    assert bench.lease(OTHER) == ip("10.77.0.100")
    assert bench.lease() == ip("10.77.0.50")


def test_init_reboot_and_renewal() -> None:
    """RFC 2131 section 4.3.2: a client with its own address is confirmed, a renewal by unicast to it."""
    bench = Bench()
    address = bench.lease()
    ack, reply = bench.ask(MessageType.REQUEST, {50: address})
    assert (ack.message_type, reply.destination) == (MessageType.ACK, EVERYBODY)
    ack, reply = bench.ask(MessageType.REQUEST, ciaddr=address)
    assert (ack.message_type, ack.ciaddr) == (MessageType.ACK, address)
    assert reply.destination == ("10.77.0.100", 68)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({50: ip("192.168.1.5")}, {}),
        ({50: ip("10.77.0.7")}, {}),
        ({}, {"ciaddr": ip("10.77.0.100")}),
        ({50: ip("10.77.0.100"), 54: ip("10.77.0.1")}, {}),
    ],
)
def test_a_wrong_address_is_refused_at_once(options: dict[int, bytes], fields: dict[str, bytes]) -> None:
    """We are the one server here: a client from elsewhere, or with another's address, starts over."""
    bench = Bench()
    bench.lease(OTHER)
    nak, reply = bench.ask(MessageType.REQUEST, options, **fields)
    assert nak.message_type == MessageType.NAK
    assert nak.yiaddr == nak.ciaddr == NOWHERE
    assert 51 not in nak.options
    assert reply.destination == EVERYBODY
    assert not reply.durable


def test_a_client_that_chose_another_server_gives_that_server_away() -> None:
    """Its offer is dropped, and the trace names the server that must not be there."""
    bench = Bench()
    bench.ask(MessageType.DISCOVER)
    assert bench.send(MessageType.REQUEST, {50: ip("10.0.0.9"), 54: ip("10.77.0.254")}) is None
    assert "another DHCP server, 10.77.0.254" in bench.events[-1].text
    assert bench.lab.leases.mac_of("10.77.0.100") is None


def test_release_and_decline_are_taken_from_the_holder_only() -> None:
    """Nobody gives back another's address; both are kept on disk."""
    bench = Bench()
    address = bench.lease()
    bench.exchange.records.clear()
    assert bench.send(MessageType.RELEASE, mac=OTHER, ciaddr=address) is None
    assert bench.kinds[-1] == "ignored"
    assert bench.send(MessageType.RELEASE, ciaddr=address) is None
    assert bench.kinds[-1] == "release"
    offer, _ = bench.ask(MessageType.DISCOVER)
    assert offer.yiaddr == address
    assert bench.send(MessageType.DECLINE, {50: address}) is None
    assert bench.kinds[-1] == "decline"
    assert len(bench.exchange.records) == 2
    offer, _ = bench.ask(MessageType.DISCOVER)
    assert offer.yiaddr != address


def test_inform_is_answered_without_a_lease() -> None:
    """RFC 2131 section 4.3.5: to ciaddr, no address, no lease time; nobody far away is written to."""
    bench = Bench()
    ack, reply = bench.ask(MessageType.INFORM, ciaddr=ip("10.77.0.9"))
    assert (ack.message_type, ack.yiaddr) == (MessageType.ACK, NOWHERE)
    assert not {51, 58, 59} & set(ack.options)
    assert reply.destination == ("10.77.0.9", 68)
    assert not reply.durable
    assert bench.send(MessageType.INFORM, ciaddr=ip("8.8.8.8")) is None


def test_a_relay_gets_the_answer_and_its_option_back() -> None:
    """To giaddr:67; the network is the relay's; option 82 comes back unchanged and last (RFC 3046)."""
    bench = Bench()
    circuit = b"\x01\x04port\x02\x06switch"
    offer, reply = bench.ask(MessageType.DISCOVER, {82: circuit}, giaddr=ip("10.77.1.2"))
    assert reply.destination == ("10.77.1.2", 67)
    assert offer.yiaddr == ip("10.77.1.100")
    assert offer.options[54] == ip("10.77.1.1")
    assert offer.giaddr == ip("10.77.1.2")
    assert list(offer.options.items())[-1] == (82, circuit)
    nak, reply = bench.ask(MessageType.REQUEST, {50: ip("10.9.9.9")}, giaddr=ip("10.77.1.2"))
    assert nak.flags & 0x8000
    assert reply.destination == ("10.77.1.2", 67)


def test_relay_sub_options_choose_subnet_and_server_id() -> None:
    """RFC 3527 and RFC 5107."""
    bench = Bench()
    options = {82: b"\x05\x04" + ip("10.77.1.0")[:3] + b"\x09" + b"\x0b\x04" + ip("172.16.0.1")}
    offer, _ = bench.ask(MessageType.DISCOVER, options, giaddr=ip("172.16.0.1"))
    assert offer.yiaddr == ip("10.77.1.100")
    assert offer.options[54] == ip("172.16.0.1")
    chosen = {**options, 50: offer.yiaddr, 54: ip("172.16.0.1")}
    ack, _ = bench.ask(MessageType.REQUEST, chosen, giaddr=ip("172.16.0.1"))
    assert ack.message_type == MessageType.ACK


def test_a_relay_of_a_network_not_served_is_ignored() -> None:
    """The trace says which."""
    bench = Bench()
    assert bench.send(MessageType.DISCOVER, giaddr=ip("192.168.7.1")) is None
    assert "192.168.7.1" in bench.events[-1].text


def test_a_denied_board_gets_no_answer_and_the_trace_says_why() -> None:
    """Intent DENY."""
    bench = Bench(intent=BootIntent.DENY)
    assert bench.send(MessageType.DISCOVER, IPXE) is None
    assert bench.kinds == ["ignored"]
    assert bench.events[0].board == "b1"
    assert bench.events[0].data["reason"] == "b1 is to get no answer now"


def test_an_answer_that_must_be_long_uses_the_spare_fields() -> None:
    """Option 82 and client id of 255 bytes each do not fit into 576 bytes: refused, not truncated."""
    bench = Bench()
    long = {61: b"\xff" * 100, 82: b"\x01\x64" + b"p" * 100}
    offer, reply = bench.ask(MessageType.DISCOVER, long)
    assert offer.options[82] == long[82]
    assert len(reply.data) <= 548
    endless = {61: b"\xff" * 255, 82: b"\x01\xfd" + b"p" * 253}
    reply_or_none = bench.exchange.receive(
        Message(1, 1, bytes(6), {53: b"\x01", **endless}).encode(1400), bench.lab, bench.now
    )
    assert reply_or_none is None
    assert "cannot be written" in bench.events[-1].text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello", "too few"),
        (Message(1, 1, bytes(6), {53: b"\x01"}, htype=32).encode(), "hardware type 32"),
        (Message(1, 1, bytes(6), {}).encode(), "message type None"),
        (Message(1, 1, bytes(6), {53: b"\x02"}).encode(), "message type 2"),
    ],
)
def test_what_is_not_for_a_server_is_ignored_with_the_reason(data: bytes, words: str) -> None:
    """Malformed, of another hardware, BOOTP, or an answer."""
    bench = Bench()
    assert bench.exchange.receive(data, bench.lab, bench.now) is None
    assert bench.kinds == ["ignored"]
    assert words in bench.events[0].text


@given(st.binary(max_size=400), st.integers(236, 300))
def test_no_datagram_stops_the_server(tail: bytes, at: int) -> None:
    """Any bytes in place of the options, and no exception."""
    bench = Bench(address="10.77.0.50")
    whole = Message(1, 1, bytes.fromhex(MAC.replace(":", "")), {53: b"\x01", 60: b"PXEClient"}).encode()
    bench.exchange.receive(whole[:at] + tail, bench.lab, bench.now)


def test_a_storm_of_strangers_stays_small_in_the_trace() -> None:
    """Ten thousand strangers in a second leave some hundred events, and what was left out is counted."""
    bench = Bench()
    for number in range(10_000):
        bench.now += 0.0001
        bench.send(MessageType.DISCOVER, mac=(0x020000000000 + number).to_bytes(6, "big").hex(":"))
    assert len(bench.events) < 500
    bench.now += 60
    bench.send(MessageType.DISCOVER, mac=OTHER)
    assert bench.events[-1].mac == OTHER
    left_out = {event.mac: int(str(event.data.get("left_out", 0))) for event in bench.events}
    assert sum(left_out.values()) + len(left_out) == 10_001


def test_a_board_that_raves_does_not_hide_the_others() -> None:
    """Each board has its own budget."""
    bench = Bench(intent=BootIntent.HOLD)
    bench.table.put(Target("b2", "x86-bios", "amd64", (OTHER,)))
    for _ in range(1000):
        bench.send(MessageType.DISCOVER)
    assert len(bench.events) < 100
    bench.send(MessageType.DISCOVER, mac=OTHER)
    assert bench.events[-1].board == "b2"
