"""The lines for other makers' DHCP servers, in the real servers, asked by clients of each kind."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest
from other_dhcp import DHCPD, dhcpd, dnsmasq, kea

from hostler.model import foreign_dhcp
from hostler.model.foreign_dhcp import WRITERS, ForeignNetwork
from hostler.wire.dhcp import BROADCAST_FLAG, DhcpError, Message, MessageType
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

US = ForeignNetwork("boot", IPv4Network("10.77.0.0/24"), IPv4Address("10.77.0.1"))
BOOT = "http://10.77.0.1:8067/boot"
SCRIPT = f"{BOOT}/ipxe"

CLIENTS: dict[str, tuple[dict[int, bytes], str]] = {
    "bios": ({60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0"}, "undionly.kpxe"),
    "uefi": ({60: b"PXEClient:Arch:00007:UNDI:003016", 93: b"\0\7"}, "snponly.efi"),
    "ebc": ({60: b"PXEClient:Arch:00009:UNDI:003016", 93: b"\0\x09"}, "snponly.efi"),
    "arm64": ({60: b"PXEClient:Arch:00011:UNDI:003016", 93: b"\0\x0b"}, "snponly-arm64.efi"),
    "ipxe": ({60: b"PXEClient:Arch:00000:UNDI:002001", 77: b"iPXE", 93: b"\0\0"}, SCRIPT),
    "ipxe-uefi": ({60: b"PXEClient:Arch:00007:UNDI:003016", 77: b"iPXE", 93: b"\0\7"}, SCRIPT),
    "http": ({60: b"HTTPClient:Arch:00016:UNDI:003001", 93: b"\0\x10"}, f"{BOOT}/snponly.efi"),
    "http-arm64": ({60: b"HTTPClient:Arch:00019:UNDI:003001", 93: b"\0\x13"}, f"{BOOT}/uki.efi"),
    "system": ({60: b"udhcp 1.35"}, ""),
}


def ask(lan: Lan, options: dict[int, bytes], number: int, seconds: float = 60) -> Message:
    """Broadcast a DISCOVER until somebody offers an address."""
    asked = Message(
        1, number, bytes((0x52, 0x54, 0, 0x77, 1, number)),
        {53: b"\1", 55: bytes((1, 3, 43, 60, 66, 67)), 57: b"\x05\xdc", **options}, flags=BROADCAST_FLAG,
    )  # fmt: skip
    with lan.client.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, CLIENT_INTERFACE.encode())
        sock.bind(("", 68))
        sock.settimeout(0.5)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            sock.sendto(asked.encode(), ("255.255.255.255", 67))
            try:
                answer = Message.parse(sock.recv(2000))
            except (TimeoutError, DhcpError):
                continue
            if answer.xid == number and answer.message_type == MessageType.OFFER:
                return answer
    raise AssertionError("nobody offered anything")


@contextmanager
def server(kind: str, lan: Lan, folder: Path) -> Iterator[None]:
    """Run a real server with our lines in its configuration."""
    text = WRITERS[kind](US)
    if kind == "isc":
        option, _, inside = text.partition("# Inside")
        config = option + DHCPD.replace("  range", f"#{inside}  range")
        with dhcpd(lan.server, SERVER_INTERFACE, folder, config):
            yield
    elif kind == "kea":
        with kea(lan.server, SERVER_INTERFACE, folder, text):
            yield
    else:
        lines = folder / "dnsmasq.conf"
        lines.write_text(text)
        with dnsmasq(lan.server, SERVER_INTERFACE, f"--conf-file={lines}"):
            yield


@pytest.mark.netns
@pytest.mark.parametrize("kind", ["isc", "kea", "dnsmasq"])
def test_real_servers_send_every_kind_of_firmware_here(lan: Lan, tmp_path: Path, kind: str) -> None:
    """Each architecture gets its file and this host to fetch it from, iPXE its script, a system nothing."""
    with server(kind, lan, tmp_path):
        for number, (name, (options, file)) in enumerate(CLIENTS.items(), 1):
            offer = ask(lan, options, number)
            told = offer.file or offer.options.get(67, b"").rstrip(b"\0")
            assert told.decode() == file, name
            assert (offer.options.get(60) == b"HTTPClient") == name.startswith("http"), name
            if file and not file.startswith("http"):
                assert offer.siaddr == IPv4Address("10.77.0.1").packed, name


@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_kind_names_the_script_and_each_file(kind: str) -> None:
    """No kind of server leaves an architecture out."""
    text = WRITERS[kind](US)
    for file in (SCRIPT, "10.77.0.1", "undionly.kpxe", "snponly.efi", "snponly-arm64.efi"):
        assert file in text
    for file in ("HTTPClient", f"{BOOT}/snponly.efi", f"{BOOT}/uki.efi"):
        assert file in text


def test_a_network_behind_a_relay_is_sent_to_the_host_it_reaches() -> None:
    """Its own subnet, but the address and port of the network its relay is on."""
    plans = {
        "boot": {"address": "10.77.0.1/24", "http_port": 8080},
        "far": {"relayed": "boot", "subnet": "10.88.0.0/24"},
    }
    far = ForeignNetwork.of_plan("far", plans)
    assert far.script == "http://10.77.0.1:8080/boot/ipxe"
    assert "-ScopeId 10.88.0.0 " in foreign_dhcp.windows(far)
