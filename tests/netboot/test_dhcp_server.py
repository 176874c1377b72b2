"""The DHCP server on a real wire, with the clients people run and an independent reader of its answers."""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hostler.model.boot import BootIntent
from hostler.netboot.dhcp_loop import DhcpServerError
from hostler.netboot.dhcp_server import DhcpServer, open_socket
from hostler.netboot.table import BootTable, NetworkConfig, Target
from hostler.wire.dhcp import Message
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.model.trace import TraceEvent

pytestmark = pytest.mark.netns

NETWORK = NetworkConfig(
    "lab",
    SERVER_INTERFACE,
    IPv4Interface("10.77.0.1/24"),
    IPv4Address("10.77.0.100"),
    IPv4Address("10.77.0.199"),
    router=IPv4Address("10.77.0.1"),
    dns=(IPv4Address("9.9.9.9"),),
    lease_seconds=600,
)


class Running:
    """A server and what it traced."""

    def __init__(self, server: DhcpServer, table: BootTable, events: list[TraceEvent]) -> None:
        self.server, self.table, self.events = server, table, events

    def wait_for(self, kind: str, seconds: float = 60) -> TraceEvent:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for event in self.events:
                if event.kind == kind:
                    return event
            time.sleep(0.01)
        raise AssertionError(f"no {kind} in {[event.text for event in self.events]}")


@contextmanager
def running(
    lan: Lan, folder: Path, *targets: Target, networks: tuple[NetworkConfig, ...] = (NETWORK,)
) -> Iterator[Running]:
    table = BootTable()
    events: list[TraceEvent] = []
    for target in targets:
        table.put(target)
    server = DhcpServer(networks, table, events.append, state=folder / "leases")
    with lan.server.entered():
        server.open()
    server.start()
    try:
        yield Running(server, table, events)
    finally:
        server.stop()


def board(lan: Lan, **fields: object) -> Target:
    return Target("b1", "x86-bios", "amd64", (lan.client_mac,), **fields)  # type: ignore[arg-type]


def udhcpc(lan: Lan, folder: Path, *options: str, interface: str = CLIENT_INTERFACE) -> dict[str, str]:
    """Run busybox udhcpc once and return what it was told; empty if it got nothing."""
    bound, script = folder / "bound", folder / "udhcpc.sh"
    script.write_text(
        '#!/bin/sh\n[ "$1" = bound ] || exit 0\n'
        f'ip address replace "$ip/$mask" dev "$interface"\nenv > {bound}\n'
    )
    script.chmod(0o755)
    bound.unlink(missing_ok=True)
    lan.client.run("ip", "address", "flush", "dev", interface)
    lan.client.run(
        "udhcpc",
        "-f",
        "-n",
        "-q",
        "-i",
        interface,
        "-s",
        str(script),
        "-t",
        "4",
        "-T",
        "1",
        *options,
        check=False,
    )
    lines = bound.read_text().splitlines() if bound.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_udhcpc_gets_keeps_and_gives_back_an_address(lan: Lan, tmp_path: Path) -> None:
    """A stranger gets a dynamic lease and no boot file; after a release it gets the same address again."""
    with running(lan, tmp_path) as server:
        bound = udhcpc(lan, tmp_path)
        assert bound["ip"] == "10.77.0.100"
        assert (bound["mask"], bound["router"], bound["dns"]) == ("24", "10.77.0.1", "9.9.9.9")
        assert (bound["serverid"], bound["lease"]) == ("10.77.0.1", "600")
        assert "boot_file" not in bound
        assert server.server.mac_of("10.77.0.100") == lan.client_mac
        assert (server.events[0].mac, server.events[0].board) == (lan.client_mac, None)
        client = lan.client.popen(
            "udhcpc", "-f", "-i", CLIENT_INTERFACE, "-s", str(tmp_path / "udhcpc.sh"), stderr=subprocess.PIPE
        )
        assert client.stderr is not None
        while b"obtained" not in client.stderr.readline():
            assert client.poll() is None
        client.send_signal(signal.SIGUSR2)  # "release"
        assert server.wait_for("release").data["address"] == "10.77.0.100"
        assert server.server.mac_of("10.77.0.100") is None
        client.terminate()
        client.wait(5)
        assert udhcpc(lan, tmp_path)["ip"] == "10.77.0.100"


def test_a_lease_is_on_disk_when_its_ack_arrives_and_survives_a_restart(lan: Lan, tmp_path: Path) -> None:
    """The file is copied the moment the client is bound, and a second server goes on from that copy."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with running(lan, tmp_path):
        assert udhcpc(lan, tmp_path, "-r", "10.77.0.142")["ip"] == "10.77.0.142"
        shutil.copy(tmp_path / "leases", copy / "leases")
    with running(lan, copy) as again:
        assert again.server.mac_of("10.77.0.142") == lan.client_mac
        assert udhcpc(lan, tmp_path)["ip"] == "10.77.0.142"
        assert [lease.text for lease in again.server.leases()] == ["10.77.0.142"]


def test_dhclient_gets_renews_and_releases(lan: Lan, tmp_path: Path) -> None:
    """ISC dhclient, with a client id of its own, renews by unicast and gives the address back."""
    network = replace(NETWORK, lease_seconds=8)
    leases, config, pid = tmp_path / "dhclient.leases", tmp_path / "dhclient.conf", tmp_path / "dhclient.pid"
    config.write_text('send dhcp-client-identifier "something else";\nrequest subnet-mask, routers;\n')
    script = tmp_path / "dhclient-script"
    script.write_text(
        '#!/bin/sh\n[ -n "$new_ip_address" ] &&'
        f' ip address replace "$new_ip_address/24" dev {CLIENT_INTERFACE}\nexit 0\n'
    )
    script.chmod(0o755)
    command = (
        "dhclient", "-4", "-v", "-cf", str(config), "-lf", str(leases), "-pf", str(pid), "-sf", str(script),
    )  # fmt: skip
    with running(lan, tmp_path, board(lan, address="10.77.0.50"), networks=(network,)) as server:
        lan.client.run(*command, "-1", CLIENT_INTERFACE)
        assert server.server.mac_of("10.77.0.50") == lan.client_mac
        deadline = time.monotonic() + 15
        while [event.kind for event in server.events].count("ack") < 2:
            assert time.monotonic() < deadline, [event.text for event in server.events]
            time.sleep(0.05)
        kinds = [event.kind for event in server.events]
        assert kinds == ["discover", "offer", "request", "ack", "request", "ack"]
        lan.client.run(*command, "-r", CLIENT_INTERFACE)
        assert server.wait_for("release").board == "b1"
        assert "fixed-address 10.77.0.50" in leases.read_text()


def test_a_denied_board_gets_no_answer_until_it_may(lan: Lan, tmp_path: Path) -> None:
    """Intent DENY keeps silent on the wire; the table is read for each request."""
    with running(lan, tmp_path, board(lan, intent=BootIntent.DENY)) as server:
        assert udhcpc(lan, tmp_path, "-t", "1") == {}
        assert server.wait_for("ignored").board == "b1"
        server.table.put(board(lan, intent=BootIntent.LOCAL))
        assert udhcpc(lan, tmp_path)["ip"] == "10.77.0.100"


def test_an_address_in_use_is_declined_and_rests(lan: Lan, tmp_path: Path) -> None:
    """Busybox udhcpc probes by ARP: it finds the squatter, declines, and gets another address."""
    lan.server.run("ip", "address", "add", "10.77.0.100/24", "dev", SERVER_INTERFACE)
    with running(lan, tmp_path) as server:
        assert udhcpc(lan, tmp_path, "-a", "-A", "1")["ip"] == "10.77.0.101"
        assert server.wait_for("decline").data["address"] == "10.77.0.100"


PXE_BIOS = {60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0", 94: b"\x01\x02\x01", 97: bytes(range(17))}
CLIENTS: dict[str, tuple[dict[int, bytes], dict[str, str]]] = {
    "bios": (
        PXE_BIOS,
        {
            "dhcp.file": "undionly.kpxe",
            "dhcp.ip.server": "10.77.0.1",
            "dhcp.option.vendor_class_id": "PXEClient",
            "dhcp.option.tftp_server_name": "10.77.0.1",
            "dhcp.option.bootfile_name": "undionly.kpxe",
            "dhcp.option.vendor.pxeclient.discovery_control.bstrap": "1",
            "dhcp.client_id.uuid": "04030201-0605-0807-090a-0b0c0d0e0f10",
        },
    ),
    "uefi": (
        {60: b"PXEClient:Arch:00007:UNDI:003001", 93: b"\0\x07", 94: b"\x01\x03\x00"},
        {
            "dhcp.file": "snponly.efi",
            "dhcp.ip.server": "10.77.0.1",
            "dhcp.option.vendor_class_id": "PXEClient",
            "dhcp.option.bootfile_name": "snponly.efi",
        },
    ),
    "ipxe": (
        {**PXE_BIOS, 77: b"iPXE", 175: b"\x13\x01\x01"},
        {
            "dhcp.file": "http://10.77.0.1:8067/boot/ipxe",
            "dhcp.ip.server": "10.77.0.1",
            "dhcp.option.vendor_class_id": "",
            "dhcp.option.bootfile_name": "http://10.77.0.1:8067/boot/ipxe",
        },
    ),
    "u-boot": (
        {60: b"U-Boot.armv8", 93: b"\0\x16", 94: b"\x01\0\0"},
        {
            "dhcp.file": "",
            "dhcp.ip.server": "10.77.0.1",
            "dhcp.option.vendor_class_id": "",
            "dhcp.option.bootfile_name": "",
            "dhcp.option.tftp_server_name": "",
        },
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_an_independent_reader_sees_the_boot_options(lan: Lan, tmp_path: Path, client: str) -> None:
    """What tshark reads in OFFER and ACK is what each firmware needs, and nothing malformed."""
    options, expected = CLIENTS[client]
    expected = {**expected, "_ws.malformed": "", "dhcp.option.subnet_mask": "255.255.255.0"}
    mac = bytes.fromhex(lan.client_mac.replace(":", ""))
    frames: list[bytes] = []
    with (
        running(lan, tmp_path),
        lan.client.entered(),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire,
    ):
        wire.bind((CLIENT_INTERFACE, 0x0800))
        wire.settimeout(5)
        asked: dict[int, bytes] = {53: b"\x01", **options}
        for _ in range(2):
            with client_socket() as sock:
                sock.sendto(Message(1, 9, mac, asked).encode(), ("255.255.255.255", 67))
            frame = b""
            while frame[34:38] != b"\x00\x43\x00\x44":
                frame = wire.recv(2048)
            assert frame[:6] == b"\xff" * 6, "an answer to a client without an address is a broadcast frame"
            frames.append(frame)
            offer = Message.parse(frame[42:])
            asked = {53: b"\x03", 50: offer.yiaddr, 54: offer.options[54], **options}
    for number, kind in zip(frames, ("2", "5"), strict=True):
        assert dissect(number, tmp_path, ["dhcp.option.dhcp", *expected]) == {
            "dhcp.option.dhcp": kind,
            **expected,
        }


@contextmanager
def client_socket() -> Iterator[socket.socket]:
    """A socket that broadcasts from a host without an address, as firmware does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, CLIENT_INTERFACE.encode())
        sock.bind(("", 68))
        yield sock


def dissect(frame: bytes, folder: Path, fields: list[str]) -> dict[str, str]:
    """Return what tshark makes of one Ethernet frame."""
    capture = folder / "frame.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    capture.write_bytes(head + struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    chosen = [argument for field in fields for argument in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", str(capture), "-T", "fields", "-E", "separator=|", *chosen],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return dict(zip(fields, done.stdout.rstrip("\n").split("|"), strict=True))


def test_a_port_in_use_is_named_with_what_to_do(lan: Lan, tmp_path: Path) -> None:
    """Another DHCP server on this host: port, interface and how to find it; ours leaves nothing open."""
    with lan.server.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 67))
        server = DhcpServer([NETWORK], BootTable(), lambda _: None, state=tmp_path / "leases")
        with pytest.raises(DhcpServerError, match=r"network lab: UDP port 67 on srv0 is in use; .* stop it"):
            server.open()
        server.stop()


def test_no_permission_is_named_with_what_to_do(lan: Lan) -> None:
    """Without CAP_NET_BIND_SERVICE the error says how to get it."""
    script = (
        "import pathlib, sys\n"
        "from ipaddress import IPv4Address as A, IPv4Interface as I\n"
        "from hostler.netboot.dhcp_loop import DhcpServerError\n"
        "from hostler.netboot.dhcp_server import open_socket\n"
        "from hostler.netboot.table import NetworkConfig\n"
        "lab = NetworkConfig('lab', 'srv0', I('10.77.0.1/24'), A('10.77.0.9'), A('10.77.0.9'))\n"
        "try:\n"
        "    open_socket(lab, alone=True)\n"
        "except DhcpServerError as error:\n"
        "    print(error)\n"
    )
    done = lan.server.run("setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", script)
    assert "network lab: UDP port 67 on srv0 is not permitted; run as root" in done.stdout


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (replace(NETWORK, interface="br9"), "there is no interface br9 here"),
        (replace(NETWORK, address=IPv4Interface("10.78.0.1/24")), "ip address add 10.78.0.1/24 dev srv0"),
    ],
)
def test_a_network_that_is_not_there_is_named(lan: Lan, network: NetworkConfig, words: str) -> None:
    """A wrong interface or address is found at the start, not by boards that get no answer."""
    with lan.server.entered(), pytest.raises(DhcpServerError, match=words):
        open_socket(network, alone=True)


def test_a_foreign_lease_file_stops_the_start(lan: Lan, tmp_path: Path) -> None:
    """It is named and kept."""
    (tmp_path / "leases").write_text("something else")
    server = DhcpServer([NETWORK], BootTable(), lambda _: None, state=tmp_path / "leases")
    with lan.server.entered(), pytest.raises(DhcpServerError, match="is not a lease journal"):
        server.open()
    assert (tmp_path / "leases").read_text() == "something else"


def test_leases_that_cannot_be_kept_stop_the_start(lan: Lan, tmp_path: Path) -> None:
    """A server that would forget its leases does not begin."""
    server = DhcpServer([NETWORK], BootTable(), lambda _: None, state=tmp_path / "missing" / "leases")
    with (
        lan.server.entered(),
        pytest.raises(DhcpServerError, match=r"cannot write the leases to .*missing/leases"),
    ):
        server.open()
    server.stop()


def test_two_networks_are_served_by_one_loop(lan: Lan, tmp_path: Path) -> None:
    """Each interface gets addresses of its own network."""
    lan.server.run("ip", "link", "add", "srv1", "type", "veth", "peer", "cli1", "netns", lan.client.name)
    lan.server.run("ip", "address", "add", "10.78.0.1/24", "dev", "srv1")
    lan.server.run("ip", "link", "set", "srv1", "up")
    lan.client.run("ip", "link", "set", "cli1", "up")
    second = replace(
        NETWORK,
        name="line",
        interface="srv1",
        address=IPv4Interface("10.78.0.1/24"),
        range_first=IPv4Address("10.78.0.20"),
        range_last=IPv4Address("10.78.0.29"),
    )
    with running(lan, tmp_path, networks=(NETWORK, second)) as server:
        assert udhcpc(lan, tmp_path)["ip"] == "10.77.0.100"
        assert udhcpc(lan, tmp_path, interface="cli1")["ip"] == "10.78.0.20"
        assert {lease.text for lease in server.server.leases()} == {"10.77.0.100", "10.78.0.20"}
