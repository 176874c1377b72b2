"""Other DHCP servers on the wire: real ones are heard and named, and what must not be told is not."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_dhcp import OTHER_SERVER, dhcpd, dnsmasq
from test_dhcp_exchange import MAC, ip
from test_dhcp_server import NETWORK, board, running

from hostler.netboot.dhcp_others import OtherServers, read_packet
from hostler.netboot.table import BootTable, DhcpMode, Target
from hostler.wire.dhcp import Message, MessageType
from netns import CLIENT_INTERFACE

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.model.trace import TraceEvent
    from netns import Lan

SENDER = "02:00:00:00:00:09"


def packet(server: str = OTHER_SERVER, kind: int = MessageType.OFFER, **fields: object) -> bytes:
    """An IP packet of a server with an answer for ``MAC``."""
    options = {53: bytes((kind,)), 54: ip(server)}
    message = Message(2, 1, bytes.fromhex(MAC.replace(":", "")), options, **fields)  # type: ignore[arg-type]
    data = message.encode()
    udp = struct.pack("!HHHH", 67, 68, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, ip(server), b"\xff" * 4)
    return head + udp


class Ears:
    """What is judged of packets on a network in some mode."""

    def __init__(self, mode: DhcpMode) -> None:
        self.events: list[TraceEvent] = []
        table = BootTable()
        table.put(Target("b1", "x86-bios", "amd64", (MAC,), boot="boot-1"))
        self.network = replace(NETWORK, dhcp=mode)
        self.others = OtherServers({"10.77.0.1"}, table, self.events.append)

    def hear(self, data: bytes, now: float = 1.0) -> list[str]:
        before = len(self.events)
        self.others.hear(data, SENDER, self.network, now)
        return [event.text for event in self.events[before:]]


def test_an_offer_of_another_server_is_told_of_the_board_with_who_and_what() -> None:
    """Server, its MAC, the address and the boot file it offers, and what to do, in the trace of that boot."""
    ears = Ears(DhcpMode.OWN)
    (text,) = ears.hear(packet(yiaddr=ip("10.77.0.200"), file=b"pxelinux.0"))
    assert text == (
        f"b1: another DHCP server, 10.77.0.2 (MAC {SENDER}), offers 10.77.0.200, to boot pxelinux.0;"
        ' network lab must have one; switch it off, or set dhcp = "proxy" there'
    )
    event = ears.events[0]
    assert (event.kind, event.board, event.boot) == ("rogue", "b1", "boot-1")
    assert event.data["server_mac"] == SENDER


def test_what_it_repeats_is_not_told_each_time() -> None:
    """A storm leaves room for the rest of the trace; later it is told again, with how often it was not."""
    ears = Ears(DhcpMode.OWN)
    told = sum(len(ears.hear(packet(yiaddr=ip("10.77.0.200")))) for _ in range(50))
    assert told == 2
    assert ears.hear(packet(yiaddr=ip("10.77.0.200")), now=100.0)
    assert ears.events[-1].data["left_out"] == 48


@pytest.mark.parametrize("mode", list(DhcpMode))
def test_our_own_answers_are_not_anothers(mode: DhcpMode) -> None:
    """Also those a relay passes on, under its own name or ours."""
    ears = Ears(mode)
    assert not ears.hear(packet("10.77.0.1", yiaddr=ip("10.77.0.100")))
    assert not ears.hear(packet("10.77.0.9", yiaddr=ip("10.77.0.100"), giaddr=ip("10.77.0.9")))


def test_beside_another_server_only_a_second_one_is_told() -> None:
    """In mode proxy one server gives addresses; a second one, or another proxy, is one too many."""
    ears = Ears(DhcpMode.PROXY)
    assert not ears.hear(packet(yiaddr=ip("10.77.0.200")))
    assert not ears.hear(packet(yiaddr=ip("10.77.0.200"), kind=MessageType.ACK))
    (text,) = ears.hear(packet("10.77.0.3", yiaddr=ip("10.77.0.230")))
    assert "10.77.0.2 gives addresses on network lab as well" in text
    (text,) = ears.hear(packet("10.77.0.4", file=b"wdsnbp.com"))
    assert "only one may say what boots" in text


@given(st.one_of(st.binary(max_size=700), st.integers(0, 360).map(lambda cut: packet()[:cut])))
def test_no_packet_is_an_error(data: bytes) -> None:
    """Whatever is on the wire is read or left alone."""
    read_packet(data)
    Ears(DhcpMode.OWN).hear(data)


@pytest.mark.netns
@pytest.mark.parametrize("kind", ["dnsmasq", "dhcpd"])
def test_a_real_second_server_is_named(lan: Lan, tmp_path: Path, kind: str) -> None:
    """A board asks while somebody's router answers too: the trace of the board names it."""
    lan.client.run("ip", "link", "add", "br0", "type", "bridge")
    lan.client.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    for interface in (CLIENT_INTERFACE, "v1"):
        lan.client.run("ip", "link", "set", interface, "master", "br0")
    for interface in ("br0", "v0", "v1"):
        lan.client.run("ip", "link", "set", interface, "up")
    lan.client.run("ip", "link", "set", "v0", "address", "52:54:00:77:00:07")
    target = replace(board(lan), macs=("52:54:00:77:00:07",))
    other = dnsmasq(lan.client, "br0") if kind == "dnsmasq" else dhcpd(lan.client, "br0", tmp_path)
    with running(lan, tmp_path, target) as server, other:
        for _ in range(5):
            lan.client.run(
                "udhcpc",
                "-B",
                "-f",
                "-n",
                "-q",
                "-i",
                "v0",
                "-s",
                "/bin/true",
                "-t",
                "3",
                "-T",
                "1",
                check=False,
            )
            if any(event.kind == "rogue" for event in server.events):
                break
        event = server.wait_for("rogue")
    assert event.board == "b1"
    assert event.data["server"] == OTHER_SERVER
    assert OTHER_SERVER in event.text
