"""A rack's networks as lab.toml has them: who is served together, and how those behind relays are reached."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from hostler.hub.labfile import read_labfile
from hostler.netboot.neighbours import mac_in
from hostler.netboot.table import DhcpMode, NetworkConfig
from hostler.rack.networks import by_namespace, namespace_of

LAB = """[lab]
name = "bench"

[networks.boot]
interface = "eth1"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"
dns = ["10.77.0.1", "fd77::1"]
address6 = "fd77::1/64"
http_port = 8080
netns_pidfile = "lab.pid"

[networks.far]
relayed = "boot"
subnet = "10.88.0.0/24"
range = "10.88.0.100-10.88.0.199"
router = "10.88.0.1"
subnet6 = "fd88::/64"

[networks.office]
interface = "eth0"
address = "192.0.2.5/24"
dhcp = "proxy"

[networks.idle]
interface = "eth2"
address = "10.99.0.1/24"
dhcp = "none"
"""


def test_a_lab_file_becomes_what_netboot_serves(tmp_path: Path) -> None:
    """One behind a relay has its subnet, and the host's address where it is heard; none is left out."""
    networks = read_labfile(LAB, base=tmp_path).networks
    groups = by_namespace(networks)
    boot, far = groups[tmp_path / "lab.pid"]
    (office,) = groups[None]
    assert (boot.name, boot.behind, str(boot.subnet)) == ("boot", None, "10.77.0.0/24")
    assert (far.interface, far.server, far.http_port) == ("eth1", IPv4Address("10.77.0.1"), 8080)
    assert (far.subnet, far.range_first) == (IPv4Network("10.88.0.0/24"), IPv4Address("10.88.0.100"))
    assert (office.dhcp, office.range_first) == (DhcpMode.PROXY, None)
    assert (boot.server6, str(boot.subnet6), boot.range6_last) == (
        IPv6Address("fd77::1"), "fd77::/64", IPv6Address("fd77::1fff"),
    )  # fmt: skip
    assert (boot.dns, boot.dns6) == ((IPv4Address("10.77.0.1"),), (IPv6Address("fd77::1"),))
    assert (far.server6, str(far.subnet6)) == (IPv6Address("fd77::1"), "fd88::/64")
    assert (office.server6, office.subnet6) == (None, None)
    for config in (boot, far, office):
        assert NetworkConfig.from_json(config.to_json()) == config
    assert namespace_of(networks, "far") == tmp_path / "lab.pid"
    assert namespace_of(networks, "office") is None


def test_a_neighbour_counts_when_it_has_answered() -> None:
    """An entry the kernel is still asking for has no MAC to go by."""
    table = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.77.0.20       0x1         0x2         52:54:00:AA:00:01     *        eth1\n"
        "10.77.0.21       0x1         0x0         00:00:00:00:00:00     *        eth1\n"
    )
    assert mac_in(table, "10.77.0.20") == "52:54:00:aa:00:01"
    assert mac_in(table, "10.77.0.21") is None
    assert mac_in(table, "10.77.0.2") is None
