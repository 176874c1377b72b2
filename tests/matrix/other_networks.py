"""Boards' networks that are not Hostler's own: somebody else's DHCP server, or a relay in between."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from matrix_lab import OWN
from other_dhcp import dhcpd, dnsmasq

from netns import CLIENT_INTERFACE, SERVER_INTERFACE, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix_lab import MatrixLab

    from netns import Namespace

_PROXY = """
[networks.boot]
interface = "br0"
address = "10.77.0.1/24"
dhcp = "proxy"
netns_pidfile = "virtual/namespace.pid"
"""
_RELAY = """
[networks.boot]
interface = "up0"
address = "10.90.0.1/24"
range = "10.90.0.100-10.90.0.199"
netns_pidfile = "virtual/namespace.pid"

[networks.far]
relayed = "boot"
subnet = "10.77.0.0/24"
range = "10.77.0.100-10.77.0.199"
router = "10.77.0.254"
"""
_IPV6 = OWN + 'address6 = "fd77::1/64"\n'
LAB_TOML = {"own": OWN, "ipv6": _IPV6, "dnsmasq": _PROXY, "dhcpd": _PROXY, "relay": _RELAY}
"""What ``lab.toml`` says of the boards' network, by who gives the addresses there."""


@contextmanager
def other_network(lab: MatrixLab, kind: str) -> Iterator[None]:
    """Put what a kind of network needs beside a lab that runs; nothing for ``own`` and ``ipv6``."""
    if kind in ("own", "ipv6"):
        yield
    elif kind == "relay":
        with _relay(lab):
            yield
    else:
        with machine_beside(lab) as machine:
            server = (
                dnsmasq(machine, CLIENT_INTERFACE)
                if kind == "dnsmasq"
                else dhcpd(machine, CLIENT_INTERFACE, lab.state)
            )
            with server:
                yield


def _pid(lab: MatrixLab) -> str:
    return (lab.state / "virtual" / "namespace.pid").read_text().strip()


def _inside(lab: MatrixLab, *command: str) -> None:
    subprocess.run(["nsenter", "--net", "--target", _pid(lab), "--", *command], check=True, timeout=10)


def _move(namespace: Namespace, interface: str, name: str, to: str) -> None:
    """Give an interface to another namespace, by name or by pid, under another name."""
    command = ["ip", "-n", namespace.name, "link", "set", interface, "name", name, "netns", to]
    subprocess.run(command, check=True, timeout=10)


@contextmanager
def machine_beside(lab: MatrixLab) -> Iterator[Namespace]:
    """A machine of its own, with a cable to the boards' bridge."""
    with joined(None, client_mac="02:00:00:77:00:02") as lan:
        _move(lan.server, SERVER_INTERFACE, SERVER_INTERFACE, _pid(lab))
        _inside(lab, "ip", "link", "set", SERVER_INTERFACE, "master", "br0", "up")
        yield lan.client


@contextmanager
def _relay(lab: MatrixLab) -> Iterator[None]:
    """ISC's relay on a router between the boards and the server; it adds option 82 with the port's name."""
    with joined(None, client_mac="02:00:00:90:00:02") as near, joined(None) as far:
        router = near.client
        _move(near.server, SERVER_INTERFACE, "up0", _pid(lab))
        _move(far.server, SERVER_INTERFACE, "far0", _pid(lab))
        _move(far.client, CLIENT_INTERFACE, "down0", router.name)
        for command in (
            "ip address flush dev br0", "ip link set far0 master br0 up", "ip link set up0 up",
            "ip address add 10.90.0.1/24 brd + dev up0", "ip route add 10.77.0.0/24 via 10.90.0.2",
        ):  # fmt: skip
            _inside(lab, *command.split())
        for command in (
            f"ip address add 10.90.0.2/24 brd + dev {CLIENT_INTERFACE}", "ip link set down0 up",
            "ip address add 10.77.0.254/24 brd + dev down0", "sysctl -qw net.ipv4.ip_forward=1",
        ):  # fmt: skip
            router.run(*command.split())
        process = router.popen(
            "dhcrelay", "-4", "-d", "--no-pid", "-a", "-id", "down0", "-iu", CLIENT_INTERFACE, "10.90.0.1",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
            assert process.poll() is None, "dhcrelay ended"
        finally:
            process.terminate()
            process.wait(10)
