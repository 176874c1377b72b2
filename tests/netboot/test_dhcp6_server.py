"""DHCPv6 on a real wire: ISC's client and relay, curl by IPv6, and what becomes of a killed server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING

import pytest
from lan6 import NETWORK6, dhclient, prepare, stop_dhclient, wait_for_link, without_dad
from netboot_peers import Rack, pid_in, until
from test_process_qemu import put_step

from hostler.model.boot import BootIntent
from hostler.netboot.dhcp6_server import Dhcp6Server
from hostler.netboot.dhcp_loop import DhcpServerError
from hostler.netboot.setup import DUID_FILE, NetbootSetup
from hostler.netboot.table import BootTable, Target
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan, joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostler.model.trace import TraceEvent
    from hostler.netboot.table import NetworkConfig

pytestmark = pytest.mark.netns


class Running:
    """A server and what it traced."""

    def __init__(self, server: Dhcp6Server, events: list[TraceEvent]) -> None:
        self.server, self.events = server, events

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events]

    def tells(self, text: str, seconds: float = 60) -> None:
        """Wait for what a client sent before it ended."""
        deadline = time.monotonic() + seconds
        while not any(text in told for told in self.texts):
            assert time.monotonic() < deadline, self.texts
            time.sleep(0.02)


@contextmanager
def running(
    lan: Lan, folder: Path, *targets: Target, networks: tuple[NetworkConfig, ...] = (NETWORK6,)
) -> Iterator[Running]:
    table = BootTable()
    events: list[TraceEvent] = []
    for target in targets:
        table.put(target)
    folder.mkdir(exist_ok=True)
    server = Dhcp6Server(networks, table, events.append, state_dir=folder, boot_files={"snponly.efi"})
    with lan.server.entered():
        server.open()
    server.start()
    try:
        yield Running(server, events)
    finally:
        server.stop()


def board(lan: Lan) -> Target:
    return Target("b1", "x86-uefi", "amd64", (lan.client_mac,), intent=BootIntent.HOLD)


def test_dhclient_gets_an_address_and_keeps_it_over_a_restart(lan: Lan, tmp_path: Path) -> None:
    """After a restart the server is the same one: dhclient confirms, renews and gives back what it had."""
    prepare(lan)
    state, client = tmp_path / "state", tmp_path / "client"
    with running(lan, state, board(lan)) as first:
        told = dhclient(lan.client, client)
        assert told, first.texts
        assert (told["new_ip6_address"], told["new_dhcp6_name_servers"]) == ("fd77::1000", "fd77::53")
        assert (told["new_max_life"], told["new_preferred_life"]) == ("3600", "3600")
        assert first.server.mac_of("fd77::1000") == lan.client_mac
        assert {event.board for event in first.events} == {"b1"}
        stop_dhclient(lan.client, client)
    duid = (state / DUID_FILE).read_text()
    with running(lan, state, board(lan)) as second:
        assert second.server.mac_of("fd77::1000") == lan.client_mac
        dhclient(lan.client, client)  # it CONFIRMs the lease it has on file
        second.tells("of this network: yes")
        stop_dhclient(lan.client, client)
        assert dhclient(lan.client, client, "-r")["reason"] == "RELEASE6"
        second.tells("b1 gives back fd77::1000")
    assert (state / DUID_FILE).read_text() == duid


def test_several_clients_get_an_address_each(lan: Lan, tmp_path: Path) -> None:
    """Two interfaces of one machine, with one DUID, are two clients."""
    prepare(lan)
    lan.client.run("ip", "link", "add", "mac1", "link", CLIENT_INTERFACE, "type", "macvlan", "mode", "bridge")
    without_dad(lan.client, "mac1")
    wait_for_link(lan.client, "mac1")
    with running(lan, tmp_path / "state", board(lan)) as server:
        found = []
        for interface in (CLIENT_INTERFACE, "mac1"):
            told = dhclient(lan.client, tmp_path / "client", interface=interface)
            assert told, server.texts
            found.append(told["new_ip6_address"])
            stop_dhclient(lan.client, tmp_path / "client")
        assert found == ["fd77::1000", "fd77::1001"]


@pytest.fixture
def relayed() -> Iterator[tuple[Lan, Lan]]:
    """A server's cable, and a second one whose boards reach it over a router in between."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    with joined() as near, joined(None) as far:
        subprocess.run(
            ["ip", "-n", far.server.name, "link", "set", SERVER_INTERFACE, "netns", near.client.name],
            check=True, timeout=10,
        )  # fmt: skip
        prepare(near)
        without_dad(near.client, SERVER_INTERFACE)
        without_dad(far.client, CLIENT_INTERFACE)
        for command in (
            f"ip -6 address add fd88::1/64 dev {SERVER_INTERFACE} nodad",
            f"ip -6 address add fd77::9/64 dev {CLIENT_INTERFACE} nodad",
            "sysctl -qw net.ipv6.conf.all.forwarding=1",
        ):
            near.client.run(*command.split())
        near.server.run("ip", "-6", "route", "add", "fd88::/64", "via", "fd77::9")
        wait_for_link(far.client, CLIENT_INTERFACE)
        yield near, far


def test_a_real_relay_brings_clients_of_another_network(relayed: tuple[Lan, Lan], tmp_path: Path) -> None:
    """ISC dhcrelay -6 with its interface ids: the link address chooses the network, the board is known."""
    near, far = relayed
    behind = replace(
        NETWORK6, name="far", behind=IPv4Network("10.88.0.0/24"), behind6=IPv6Network("fd88::/64"),
        range6_first=IPv6Address("fd88::100"), range6_last=IPv6Address("fd88::1ff"),
        range_first=IPv4Address("10.88.0.100"), range_last=IPv4Address("10.88.0.199"),
    )  # fmt: skip
    relay = near.client.popen(
        "dhcrelay", "-6", "-d", "-I", "--no-pid", "-l", SERVER_INTERFACE, "-u", f"fd77::1%{CLIENT_INTERFACE}",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with running(near, tmp_path / "state", board(far), networks=(NETWORK6, behind)) as server:
            told = dhclient(far.client, tmp_path / "client")
            assert told, server.texts
            assert told["new_ip6_address"] == "fd88::100"
            assert {event.board for event in server.events} == {"b1"}
            assert server.events[0].data["network"] == "far"
            assert server.events[0].data["circuit_id"]
            assert server.server.mac_of("fd88::100") == far.client_mac
            stop_dhclient(far.client, tmp_path / "client")
    finally:
        relay.terminate()
        relay.wait(10)


def curl(lan: Lan, url: str, *options: str) -> bytes:
    done = subprocess.run(
        lan.client.argv("curl", "-sS", "-g", "-6", "--max-time", "20", "--retry", "9", "--retry-connrefused",
                        *options, url),
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout


async def test_files_come_by_ipv6_to_the_board_that_holds_the_lease(lan: Lan, tmp_path: Path) -> None:
    """TFTP and HTTP; the script's URLs are of IPv6, the agent's is of IPv4; after kill -9 as before."""
    prepare(lan)
    loader = tmp_path / "snponly.efi"
    loader.write_bytes(b"MZ" + os.urandom(100_000))
    rack = Rack()
    with pid_in(lan, tmp_path) as pidfile:
        setup = NetbootSetup(
            networks=(NETWORK6,), store=tmp_path / "store", state_dir=tmp_path / "state",
            firmware={"snponly.efi": loader}, netns_pidfile=pidfile,
        )  # fmt: skip
        async with rack.child(setup) as child:
            step = put_step(child, tmp_path, b"kernel" * 999, "x86-uefi", "amd64")
            child.put_target(replace(step, macs=(lan.client_mac,)))
            told = dhclient(lan.client, tmp_path / "client")
            assert told["new_ip6_address"] == "fd77::1000"
            stop_dhclient(lan.client, tmp_path / "client")
            lan.client.run(
                "ip", "-6", "address", "replace", "fd77::1000/64", "dev", CLIENT_INTERFACE, "nodad"
            )
            assert curl(lan, "tftp://[fd77::1]/snponly.efi") == loader.read_bytes()
            for _ in range(2):
                script = curl(lan, "http://[fd77::1]:8067/boot/ipxe").decode()
                assert "Hostler: b1: booting the agent" in script
                assert f"kernel --name kernel http://[fd77::1]:8067/boot/file/{step.kernel}" in script
                assert curl(lan, f"http://[fd77::1]:8067/boot/file/{step.kernel}") == b"kernel" * 999
                config = curl(lan, "http://[fd77::1]:8067/boot/config.cpio")
                assert b'"rack": "http://10.77.0.1:8067"' in config
                head = curl(lan, "http://[fd77::1]:8067/boot/snponly.efi", "--head")
                assert b"Content-Length: 100002" in head
                pid = child.pid
                assert pid is not None
                os.kill(pid, 9)
                await until(lambda: child.pid not in (None, pid), 30)  # noqa: B023
        tftp = [event for event in rack.events if event.source == "tftp" and event.kind == "done"]
        assert [(event.board, event.mac) for event in tftp] == [("b1", lan.client_mac)]


def test_what_is_missing_is_told_with_the_command_that_mends_it(lan: Lan, tmp_path: Path) -> None:
    """No such address; another server on the port; a DUID file that is none: nothing is left open."""
    away = replace(NETWORK6, address6=IPv6Interface("fd99::1/64"))
    prepare(lan)
    for network, says in (
        (away, r"fd99::1 is not an address of srv0; `ip -6 address add fd99::1/64 dev srv0`"),
        (replace(NETWORK6, interface="br9"), "there is no interface br9"),
    ):
        with pytest.raises(DhcpServerError, match=says), running(lan, tmp_path, networks=(network,)):
            pass
    with lan.server.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::", 547))
        with pytest.raises(DhcpServerError, match=r"547 .* is in use; .* stop it"), running(lan, tmp_path):
            pass
    (tmp_path / DUID_FILE).write_text("something else\n")
    with pytest.raises(DhcpServerError, match=r"is not a DUID-UUID .* remove it"), running(lan, tmp_path):
        pass
    (tmp_path / DUID_FILE).unlink()
    with running(lan, tmp_path) as server:
        assert server.server.leases() == []


def test_a_storm_of_half_messages_leaves_the_server_answering(lan: Lan, tmp_path: Path) -> None:
    """Two thousand cut datagrams from a client's port, and then a client that means it."""
    prepare(lan)
    whole = bytes.fromhex("01d228c70001000a00030001525400770001") + b"\0\3\0\x0c" + bytes(12)
    with running(lan, tmp_path / "state", board(lan)) as server:
        with lan.client.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            scope = socket.if_nametoindex(CLIENT_INTERFACE)
            for number in range(2000):
                sender.sendto(whole[: number % len(whole)], ("ff02::1:2", 547, 0, scope))
        told = dhclient(lan.client, tmp_path / "client")
        assert told, server.texts
        stop_dhclient(lan.client, tmp_path / "client")
        server.tells("b1 gets fd77::1000")
        assert "fault" not in {event.kind for event in server.events}
