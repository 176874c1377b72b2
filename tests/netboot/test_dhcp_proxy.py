"""Proxy DHCP: what is said to whom beside somebody else's server, datagram by datagram."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_dhcp_exchange import EVERYBODY, IPXE, MAC, OTHER, Bench, ip

from hostler.model.boot import BootIntent
from hostler.netboot.leases import LeaseState, read_records
from hostler.netboot.served_network import ServedNetwork
from hostler.netboot.table import DhcpMode
from hostler.wire.dhcp import NOWHERE, Message, MessageType

BIOS = {60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0", 94: b"\1\2\1", 97: b"\0" + bytes(range(16))}
UEFI = {**BIOS, 60: b"PXEClient:Arch:00007:UNDI:003016", 93: b"\0\7"}
UBOOT = {60: b"U-Boot.armv8", 93: b"\0\x16"}


class ProxyBench(Bench):
    """A proxy on ``lab``."""

    def __init__(self, **board: object) -> None:
        super().__init__(**board)
        config = replace(self.lab.config, dhcp=DhcpMode.PROXY, range_first=None, range_last=None)
        self.lab = self.arrived = ServedNetwork(config)
        self.exchange._networks = (self.lab, self.line)

    def binl(
        self, options: dict[int, bytes], source: str = "10.77.0.200", **fields: object
    ) -> Message | None:
        """Ask on port 4011."""
        asked = Message(
            1,
            7,
            bytes.fromhex(MAC.replace(":", "")),
            {53: b"\3", **options},
            ciaddr=ip(source),
            **fields,  # type: ignore[arg-type]
        )
        reply = self.exchange.receive(asked.encode(), self.lab, self.now, (source, 4011))
        if reply is None:
            return None
        assert reply.destination == (source, 4011)
        assert reply.event is not None
        self.events.append(reply.event)
        return Message.parse(reply.data)


def test_bios_is_offered_a_file_and_never_an_address() -> None:
    """The offer has no address and no setting of the network, only what boots; option 97 comes back."""
    bench = ProxyBench(intent=BootIntent.HOLD)
    offer, reply = bench.ask(MessageType.DISCOVER, BIOS)
    assert reply.destination == EVERYBODY
    assert (offer.yiaddr, offer.siaddr, offer.file) == (NOWHERE, ip("10.77.0.1"), b"undionly.kpxe")
    assert offer.options[60] == b"PXEClient"
    assert offer.options[43] == b"\6\1\x08\xff"
    assert offer.options[97] == BIOS[97]
    assert not {1, 3, 6, 28, 51, 58, 59} & offer.options.keys()
    assert not reply.durable


def test_uefi_is_sent_to_port_4011_for_its_file() -> None:
    """Its offer has neither option 43 nor a file; the acknowledgement there has the file."""
    bench = ProxyBench(intent=BootIntent.HOLD)
    offer, _ = bench.ask(MessageType.DISCOVER, UEFI)
    assert (offer.yiaddr, offer.siaddr, offer.file) == (NOWHERE, ip("10.77.0.1"), b"")
    assert offer.options[60] == b"PXEClient"
    assert not {43, 67} & offer.options.keys()
    ack = bench.binl(UEFI)
    assert ack is not None
    assert (ack.message_type, ack.yiaddr, ack.siaddr) == (MessageType.ACK, NOWHERE, ip("10.77.0.1"))
    assert ack.file == ack.options[67] == b"snponly.efi"
    assert 43 not in ack.options
    assert bench.events[-1].kind == "ack"


def test_http_boot_takes_the_url_from_the_offer() -> None:
    """It never asks on port 4011, and takes no offer but under its own name."""
    bench = ProxyBench(intent=BootIntent.HOLD)
    offer, _ = bench.ask(
        MessageType.DISCOVER, {**UEFI, 60: b"HTTPClient:Arch:00016:UNDI:003001", 93: b"\0\x10"}
    )
    assert (offer.yiaddr, offer.siaddr) == (NOWHERE, NOWHERE)
    assert offer.options[60] == b"HTTPClient"
    assert offer.file == offer.options[67] == b"http://10.77.0.1:8067/boot/snponly.efi"
    assert not {43, 66} & offer.options.keys()


def test_ipxe_is_offered_its_script() -> None:
    """Already loaded, it goes on by HTTP at once."""
    bench = ProxyBench(intent=BootIntent.HOLD)
    offer, _ = bench.ask(MessageType.DISCOVER, IPXE)
    assert offer.file == b"http://10.77.0.1:8067/boot/ipxe"
    assert offer.options[60] == b"PXEClient"


@pytest.mark.parametrize(
    "options", [{}, {60: b"MSFT 5.0"}, BIOS, UEFI], ids=["linux", "windows", "bios", "uefi"]
)
def test_other_peoples_machines_are_left_alone(options: dict[int, bytes]) -> None:
    """A machine nobody knows gets no answer: it is not ours to hold."""
    bench = ProxyBench()
    assert bench.send(MessageType.DISCOVER, options, OTHER) is None
    # One that could be adopted is told of; an operating system is nobody's business.
    assert bool(bench.events) == (60 in options and options[60].startswith(b"PXE"))


def test_a_board_that_runs_a_system_gets_its_address_elsewhere_and_is_heard() -> None:
    """Its own REQUEST to the other server says which address is the board's; the journal keeps that."""
    bench = ProxyBench(intent=BootIntent.LOCAL)
    assert bench.send(MessageType.DISCOVER) is None
    assert bench.send(MessageType.REQUEST, {50: ip("10.77.0.200"), 54: ip("10.77.0.2")}) is None
    assert bench.lab.leases.mac_of("10.77.0.200") == MAC
    kept = list(read_records(b"".join(bench.exchange.records)))
    assert [(lease.text, lease.mac, lease.state) for lease in kept] == [
        ("10.77.0.200", MAC, LeaseState.HEARD)
    ]
    again = ServedNetwork(bench.lab.config)
    again.leases.restore(kept)
    assert again.leases.mac_of("10.77.0.200") == MAC


def test_uboot_gets_no_offer_without_an_address() -> None:
    """It would take 0.0.0.0 for its own; the trace says what to do instead."""
    bench = ProxyBench(intent=BootIntent.HOLD)
    assert bench.send(MessageType.DISCOVER, UBOOT) is None
    assert "U-Boot takes an offer without an address" in bench.events[-1].text


def test_nobody_outside_the_network_is_answered_on_port_4011() -> None:
    """A forged sender cannot aim answers at somebody else, and an own network answers nothing there."""
    bench = ProxyBench(intent=BootIntent.HOLD)
    assert bench.binl(UEFI, source="192.0.2.9") is None
    bench.lab = bench.line
    assert bench.binl(UEFI, source="10.77.1.20") is None


def test_a_denied_board_gets_no_offer() -> None:
    """Intent DENY is silence here as well."""
    bench = ProxyBench(intent=BootIntent.DENY)
    assert bench.send(MessageType.DISCOVER, BIOS) is None
    assert bench.binl(BIOS) is None
