"""Networks in ``lab.toml``: modes of DHCP, subnets behind relays, boards known by a relay's port."""

from __future__ import annotations

import pytest

from hostler.hub.labfile import LabfileError, read_labfile

IPV6 = """[lab]
name = "bench"

[networks.boot]
interface = "eth1"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"
dns = ["10.77.0.1", "fd77::1"]
address6 = "fd77::1/64"

[networks.far]
relayed = "boot"
subnet = "10.88.0.0/24"
range = "10.88.0.100-10.88.0.199"
router = "10.88.0.1"
subnet6 = "fd88::/64"
range6 = "fd88::100-fd88::1ff"

[networks.office]
interface = "eth0"
address = "192.0.2.5/24"
dhcp = "proxy"
address6 = "2001:db8::5/64"
"""

MISTAKES6 = [
    ('"fd77::1/64"\n', '"fd77::/64"\n', "is the address of every router"),
    ('"fd77::1/64"\n', '"fe80::1/64"\n', "is not an address that DHCPv6 can serve"),
    ('"fd77::1/64"\n', '"fd77::1/127"\n', "leaves no room for boards"),
    ('"fd77::1/64"\n', '"fd77::1/120"\n', 'DHCPv6 needs a range6 here, such as "fd77::2-fd77::ff"'),
    ('"fd77::1/64"\n', '"fd77::1005/64"\n', "DHCPv6 needs a range6 here"),
    ('address6 = "fd77::1/64"\n', "", 'network "boot", by which relays reach this host, does not answer'),
    ('address6 = "fd77::1/64"\n', 'range6 = "fd77::2-fd77::9"\n', "range6 needs address6"),
    ('"fd88::100-fd88::1ff"', '"fd88::100"', "is not two IPv6 addresses"),
    ('"fd88::100-fd88::1ff"', '"fd88::100-fd89::1"', "is not inside fd88::/64"),
    ('"fd88::100-fd88::1ff"', '"fd88::200-fd88::1ff"', "ends before it begins"),
    ('"fd88::100-fd88::1ff"', '"fd88::1-fd88::2:0"', "has 131072 addresses; 65536 at most"),
    ('"fd88::/64"', '"fd77::/48"', "overlaps network"),
    ('"fd88::/64"', '"fd88::/64"\naddress6 = "fd88::1/64"', 'has no "address6" of its own'),
    ('dhcp = "proxy"', 'dhcp = "none"\ndhcp6 = "own"', 'dhcp = "none" serves nothing at all'),
    ('dhcp = "proxy"', 'dhcp = "proxy"\nsubnet6 = "fd99::/64"', 'has no "subnet6" of its own'),
    ('dhcp = "proxy"', 'dhcp = "proxy"\ndhcp6 = "proxy"', "networks.office.dhcp6: "),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "says"), MISTAKES6, ids=[says[:30] for _, _, says in MISTAKES6])
def test_a_mistake_about_ipv6_is_told(good: str, bad: str, says: str) -> None:
    """What cannot work by IPv6 is refused with the key it stands at."""
    assert good in IPV6
    with pytest.raises(LabfileError) as caught:
        read_labfile(IPV6.replace(good, bad, 1), "lab.toml")
    assert any(says in str(fault) for fault in caught.value.faults), caught.value.faults


def test_ipv6_is_served_where_the_wire_is_ours_or_the_file_says_so() -> None:
    """An address is enough on a network with dhcp = "own"; on the office's it is not."""
    networks = read_labfile(IPV6, "lab.toml").networks
    assert networks["boot"]["address6"] == "fd77::1/64"
    assert networks["boot"]["range6"] == "fd77::1000-fd77::1fff"
    assert networks["far"]["subnet6"] == "fd88::/64"
    assert networks["office"]["address6"] is None
    told = read_labfile(IPV6.replace('dhcp = "proxy"', 'dhcp = "proxy"\ndhcp6 = "own"'), "lab.toml")
    assert told.networks["office"]["address6"] == "2001:db8::5/64"
    off = IPV6.replace('address6 = "fd77::1/64"', 'address6 = "fd77::1/64"\ndhcp6 = "none"')
    assert (
        read_labfile(off.replace('subnet6 = "fd88::/64"\nrange6 = "fd88::100-fd88::1ff"\n', "")).networks[
            "boot"
        ]["address6"]
        is None
    )


LAB = """[lab]
name = "bench"

[networks.boot]
interface = "eth1"
address = "10.77.0.1/24"
dhcp = "proxy"

[networks.far]
relayed = "boot"
subnet = "10.88.0.0/24"
range = "10.88.0.100-10.88.0.199"
router = "10.88.0.1"

[classes.pc]
platform = "x86-bios"

[boards.pc-1]
class = "pc"
network = "far"
circuit_id = "eth0/3"
remote_id = "00:04:0A:01"
power = { driver = "fake" }
"""

MISTAKES = [
    ('relayed = "boot"\n', "", 'networks.far: a network behind a relay lacks "relayed"; add it'),
    ('relayed = "boot"', 'relayed = "boot"\ninterface = "eth2"', 'has no "interface" of its own; remove it'),
    ('relayed = "boot"', 'relayed = "boat"', 'there is no network "boat"; known: boot, far'),
    ('relayed = "boot"', 'relayed = "far"', 'network "far" lies behind a relay itself'),
    ('router = "10.88.0.1"\n', "", 'network "far" lies behind a relay; add router'),
    ('router = "10.88.0.1"', 'router = "10.88.0.150"', "holds the router's address 10.88.0.150"),
    ('"10.88.0.0/24"', '"10.77.0.0/16"', "overlaps network"),
    ('"10.88.0.0/24"', '"10.88.0.1/24"', "networks.far.subnet: "),
    ('dhcp = "proxy"', 'dhcp = "none"', 'network "boot" has dhcp = "none"'),
    ('remote_id = "00:04:0A:01"\n', 'remote_id = ""\n', "is not the id of a relay or its port"),
    ('circuit_id = "eth0/3"\nremote_id = "00:04:0A:01"\n', "", 'board "pc-1" has no MAC'),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "says"), MISTAKES, ids=[says[:30] for _, _, says in MISTAKES])
def test_a_mistake_about_networks_is_told(good: str, bad: str, says: str) -> None:
    """What cannot work on the wire is refused with the key it stands at."""
    assert good in LAB
    with pytest.raises(LabfileError) as caught:
        read_labfile(LAB.replace(good, bad, 1), "lab.toml")
    assert any(says in str(fault) for fault in caught.value.faults), caught.value.faults


def test_a_board_may_be_known_by_its_port_alone() -> None:
    """A relay's ids are text, or bytes written in hex; the board needs no MAC then."""
    inventory = read_labfile(LAB, "lab.toml")
    board = inventory.boards["pc-1"]
    assert (board.circuit_id, board.remote_id, board.macs) == (b"eth0/3".hex(), "00040a01", ())
    assert inventory.networks["far"]["relayed"] == "boot"
    assert inventory.networks["far"]["subnet"] == "10.88.0.0/24"


def test_two_boards_cannot_have_one_port() -> None:
    """A port leads to one board, as a MAC does."""
    second = LAB[LAB.index("[boards.pc-1]") :].replace("pc-1", "pc-2").replace("0A:01", "0a:01")
    with pytest.raises(LabfileError, match="both use relay port"):
        read_labfile(LAB + second, "lab.toml")
