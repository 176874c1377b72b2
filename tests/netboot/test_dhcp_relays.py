"""Boards behind relays: which network they are on, who they are by their port, and a real relay between."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest
from test_dhcp_exchange import IPXE, MAC, OTHER, Bench, ip
from test_dhcp_server import NETWORK, running, udhcpc

from hostler.netboot.served_network import ServedNetwork
from hostler.netboot.table import DhcpMode, Target
from hostler.wire.dhcp import NOWHERE, MessageType
from netns import SERVER_INTERFACE, Lan, joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELAY = "10.88.0.1"
PORT = b"\1\4eth3\2\6switch"


class RelayBench(Bench):
    """A network whose boards are behind a relay, heard on ``lab``."""

    def __init__(self, *targets: Target) -> None:
        super().__init__()
        self.far = ServedNetwork(
            replace(
                self.lab.config, name="far", behind=IPv4Network("10.88.0.0/24"), router=IPv4Address(RELAY),
                range_first=IPv4Address("10.88.0.100"), range_last=IPv4Address("10.88.0.199"),
            )
        )  # fmt: skip
        self.exchange._networks = (self.lab, self.line, self.far)
        for target in targets:
            self.table.put(target)


def at_port(name: str, circuit: bytes | None, remote: bytes | None, *macs: str, **fields: object) -> Target:
    return Target(
        name, "x86-bios", "amd64", macs,
        circuit_id=circuit.hex() if circuit else None, remote_id=remote.hex() if remote else None, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_relays_subnet_is_served_and_its_option_comes_back_last() -> None:
    """Address and router are those behind the relay, the server is ours, 82 is echoed byte for byte."""
    bench = RelayBench()
    offer, reply = bench.ask(MessageType.DISCOVER, {82: PORT}, giaddr=ip(RELAY))
    assert reply.destination == (RELAY, 67)
    assert offer.yiaddr == ip("10.88.0.100")
    assert (offer.options[3], offer.options[54]) == (ip(RELAY), ip("10.77.0.1"))
    assert list(offer.options.items())[-1] == (82, PORT)
    assert offer.giaddr == ip(RELAY)


def test_link_selection_counts_more_than_the_relays_address() -> None:
    """RFC 3527: 82.5 names the subnet, the answer still goes to giaddr; 82.11 is the server's name."""
    bench = RelayBench()
    for link in ("10.88.0.0", "10.88.0.1"):  # the subnet itself, or an address of it
        relay = b"\5\4" + ip(link) + b"\x0b\4" + ip(RELAY)
        offer, reply = bench.ask(MessageType.DISCOVER, {82: relay}, giaddr=ip("10.77.0.9"))
        assert reply.destination == ("10.77.0.9", 67)
        assert offer.yiaddr == ip("10.88.0.100")
        assert offer.options[54] == ip(RELAY)


def test_a_client_behind_a_relay_renews_without_it() -> None:
    """It unicasts over its router: no giaddr, its address tells the network, the answer goes there."""
    bench = RelayBench()
    bench.ask(MessageType.DISCOVER, giaddr=ip(RELAY))
    bench.ask(MessageType.REQUEST, {50: ip("10.88.0.100"), 54: ip("10.77.0.1")}, giaddr=ip(RELAY))
    ack, reply = bench.ask(MessageType.REQUEST, ciaddr=ip("10.88.0.100"))
    assert (ack.message_type, ack.yiaddr) == (MessageType.ACK, ip("10.88.0.100"))
    assert reply.destination == ("10.88.0.100", 68)


def test_a_port_tells_the_board_whatever_its_mac() -> None:
    """A new network card on the same port is the same board, also for the files it then asks for."""
    bench = RelayBench(at_port("b1", b"eth3", b"switch"))
    offer, _ = bench.ask(MessageType.DISCOVER, {**IPXE, 82: PORT}, OTHER, giaddr=ip(RELAY))
    assert offer.yiaddr != NOWHERE
    assert {event.board for event in bench.events} == {"b1"}
    assert bench.events[0].data["circuit_id"] == b"eth3".hex()
    known = bench.table.by_mac(OTHER)
    assert known is not None
    assert known.board == "b1"
    # Moved to a port nobody has: it is a stranger again.
    bench.send(MessageType.DISCOVER, {82: b"\1\4eth9"}, OTHER, giaddr=ip(RELAY))
    assert bench.events[-1].board is None
    assert bench.table.by_mac(OTHER) is None


@pytest.mark.parametrize(
    ("circuit", "remote", "found"),
    [(b"eth3", b"switch", "both"), (b"eth3", b"other", "circuit"), (b"eth9", b"switch", "remote")],
)
def test_the_closest_description_of_a_port_wins(circuit: bytes, remote: bytes, found: str) -> None:
    """A board may name both ids, or one that is unique in the lab."""
    bench = RelayBench(
        at_port("both", b"eth3", b"switch"),
        at_port("circuit", b"eth3", None),
        at_port("remote", None, b"switch"),
    )
    option = bytes((1, len(circuit))) + circuit + bytes((2, len(remote))) + remote
    bench.ask(MessageType.DISCOVER, {82: option}, giaddr=ip(RELAY))
    assert bench.events[-1].board == found


def test_a_board_on_anothers_port_is_told_and_not_answered() -> None:
    """Switching by port would hit the wrong board: both names are in the trace, and nothing is booted."""
    bench = RelayBench(at_port("b1", None, None, MAC), at_port("b2", b"eth3", b"switch"))
    assert bench.send(MessageType.DISCOVER, {**IPXE, 82: PORT}, giaddr=ip(RELAY)) is None
    event = bench.events[-1]
    assert (event.kind, event.board) == ("conflict", "b1")
    assert f"MAC {MAC} belongs to b1" in event.text
    assert "belongs to b2" in event.text


def test_a_uuid_of_another_board_is_a_conflict() -> None:
    """A card moved from one board to the other: neither is booted as the other."""
    machine = bytes(range(1, 17))
    uuid = "04030201-0605-0807-090a-0b0c0d0e0f10"
    bench = RelayBench(
        Target("b1", "x86-bios", "amd64", (MAC,)), Target("b2", "x86-bios", "amd64", (OTHER,), uuid=uuid)
    )
    asked = {60: b"PXEClient:Arch:00000", 93: b"\0\0", 97: b"\0" + machine}
    assert bench.send(MessageType.DISCOVER, asked) is None
    assert bench.events[-1].kind == "conflict"
    bench.ask(MessageType.DISCOVER, asked, OTHER)
    assert bench.events[-1].board == "b2"


@pytest.fixture
def relayed() -> Iterator[tuple[Lan, Lan]]:
    """A server's cable, and a second one whose boards reach it over a router in between."""
    with joined() as near, joined(None) as far:
        subprocess.run(
            ["ip", "-n", far.server.name, "link", "set", SERVER_INTERFACE, "netns", near.client.name],
            check=True, timeout=10,
        )  # fmt: skip
        for command in (
            f"ip link set {SERVER_INTERFACE} up", f"ip address add {RELAY}/24 brd + dev {SERVER_INTERFACE}",
            "ip address add 10.77.0.9/24 brd + dev cli0", "sysctl -qw net.ipv4.ip_forward=1",
        ):  # fmt: skip
            near.client.run(*command.split())
        near.server.run("ip", "route", "add", "10.88.0.0/24", "via", "10.77.0.9")
        yield near, far


@pytest.mark.netns
def test_a_real_relay_with_option_82_and_real_clients(relayed: tuple[Lan, Lan], tmp_path: Path) -> None:
    """ISC dhcrelay appends its interface's name as circuit id; udhcpc and dhclient get leases, and renew."""
    near, far = relayed
    behind = replace(
        NETWORK, name="far", behind=IPv4Network("10.88.0.0/24"), router=IPv4Address(RELAY),
        range_first=IPv4Address("10.88.0.100"), range_last=IPv4Address("10.88.0.199"),
    )  # fmt: skip
    off = replace(NETWORK, dhcp=DhcpMode.OFF)
    relay = near.client.popen(
        "dhcrelay", "-4", "-d", "-a", "-i", SERVER_INTERFACE, "-i", "cli0", "--no-pid", "10.77.0.1",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        board = at_port("b1", SERVER_INTERFACE.encode(), None, address="10.88.0.50")
        with running(near, tmp_path, board, networks=(off, behind)) as server:
            told = udhcpc(far, tmp_path)
            assert told, [event.text for event in server.events]
            assert (told["ip"], told["router"], told["serverid"]) == ("10.88.0.50", RELAY, "10.77.0.1")
            assert {event.board for event in server.events} == {"b1"}
            assert server.events[0].data["circuit_id"] == SERVER_INTERFACE.encode().hex()
            far.client.run("ip", "route", "replace", "default", "via", RELAY)
            leases = tmp_path / "dhclient.leases"
            dhclient = (
                "dhclient", "-4", "-1", "-v", "-lf", str(leases), "-pf", str(tmp_path / "pid"),
                "-sf", "/bin/true", "cli0",
            )  # fmt: skip
            far.client.run(*dhclient)
            assert "fixed-address 10.88.0.50;" in leases.read_text()
            assert server.server.mac_of("10.88.0.50") == far.client_mac
            assert [event.kind for event in server.events].count("ack") == 2
    finally:
        relay.terminate()
        relay.wait(10)
