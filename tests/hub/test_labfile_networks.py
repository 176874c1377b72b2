"""Networks in ``lab.toml``: modes of DHCP, subnets behind relays, boards known by a relay's port."""

from __future__ import annotations

import pytest

from hostler.hub.labfile import LabfileError, read_labfile

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
