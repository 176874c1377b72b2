"""Where a machine is plugged in, asked of a real agent (net-snmp) and of the virtual switch."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from lamps import poe_switch
from snmpd import snmpd

from hostler.drivers.errors import EquipmentUnreachable
from hostler.drivers.network.protocol import PortPicture, SwitchPort
from hostler.drivers.power.protocol import ListsEnds, ReadsPanel
from hostler.drivers.registry import POWER, driver_class, network_driver
from hostler.model.power import PowerReading, PowerState
from hostler.model.power_budget import PoolReading
from hostler.virtual.switch import PoeSwitch, SnmpAgent

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.drivers.network.protocol import NetworkDriver

BASE = "1.3.6.1.2.1.17"
MAC = "52:54:00:00:00:0a"
INDEX = "82.84.0.0.0.10"
OTHER = "0.1.2.3.4.5"


@pytest.fixture(autouse=True)
def _community(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_COMMUNITY", "test")


def bridge(port: int, **more: object) -> NetworkDriver:
    table = {"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY", "timeout": 0.5, **more}
    made = network_driver("snmp-poe", table)
    assert made is not None
    return made


@pytest.mark.parametrize("version", ["1", "2c"])
async def test_a_mac_is_found_in_the_table_of_whatever_vlan_has_it(tmp_path: Path, version: str) -> None:
    """Every VLAN has a table of its own; the bridge's port is told with its interface."""
    values = {
        f"{BASE}.1.4.1.2.7": 1007,
        f"{BASE}.7.1.2.2.1.2.1.{OTHER}": 3,
        f"{BASE}.7.1.2.2.1.2.20.{OTHER}": 3,
        f"{BASE}.7.1.2.2.1.2.20.{INDEX}": 7,
    }
    async with snmpd(tmp_path / "agent", values, {}) as port:
        asked = bridge(port, version=version)
        assert await asked.find(MAC) == SwitchPort(7, 1007, None)
        assert await asked.find("52:54:00:00:00:0b") is None


async def test_a_switch_without_vlans_is_asked_for_its_only_table(tmp_path: Path) -> None:
    """BRIDGE-MIB alone will do; port 0 means learned, but on no port."""
    values = {f"{BASE}.4.3.1.2.{INDEX}": 5, f"{BASE}.4.3.1.2.{OTHER}": 0}
    async with snmpd(tmp_path / "agent", values, {}) as port:
        assert await bridge(port).find(MAC) == SwitchPort(5)
        assert await bridge(port).find("00:01:02:03:04:05") is None


async def test_the_virtual_switch_tells_port_and_link() -> None:
    """What the kernel's bridge heard is told like any switch tells it."""
    switch = PoeSwitch(4, {})
    switch.learn({MAC: 3})
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: SnmpAgent(switch, "test"), local_addr=("127.0.0.1", 0)
    )
    try:
        asked = bridge(transport.get_extra_info("sockname")[1])
        assert await asked.find(MAC) == SwitchPort(3, 3, up=False)
        assert await asked.find("52:54:00:00:00:0b") is None
    finally:
        transport.close()


@pytest.mark.parametrize("version", ["1", "2c"])
async def test_a_front_panel_is_read_from_a_real_agent(tmp_path: Path, version: str) -> None:
    """Link, spanning tree, VLANs by their port lists and everybody heard are told of every port."""
    vlans = f"{BASE}.7.1.4.2.1"
    values: dict[str, int | str] = {
        f"{BASE}.1.4.1.2.1": 101, f"{BASE}.1.4.1.2.2": 102, f"{BASE}.1.4.1.2.10": 110,
        "1.3.6.1.2.1.2.2.1.8.101": 1, "1.3.6.1.2.1.2.2.1.8.102": 2,
        f"{BASE}.2.15.1.3.1": 5,
        f"{BASE}.7.1.4.5.1.1.1": 20, f"{BASE}.7.1.4.5.1.1.2": 1,
        # Ports 1 and 10 carry VLAN 20, 10 with tags; ports 2 and 10 VLAN 1 without.
        f"{vlans}.4.0.1": "40 40", f"{vlans}.5.0.1": "40 40",
        f"{vlans}.4.0.20": "80 40", f"{vlans}.5.0.20": "80 00",
        f"{BASE}.7.1.2.2.1.2.20.{INDEX}": 1, f"{BASE}.7.1.2.2.1.2.20.{OTHER}": 10,
    }  # fmt: skip
    async with snmpd(tmp_path / "agent", values, {}) as port:
        assert await bridge(port, version=version).ports() == [
            PortPicture(1, True, "forwarding", 20, (), (MAC,)),
            PortPicture(2, False, None, 1),
            PortPicture(10, None, None, None, (20,), ("00:01:02:03:04:05",)),
        ]


async def test_the_virtual_switch_shows_its_panel() -> None:
    """All ports of the switch of the virtual lab are read like any other's, and its supply."""
    kind = driver_class(POWER, "snmp-poe")
    assert isinstance(kind, ReadsPanel)
    switch = PoeSwitch(40, {})
    switch.learn({MAC: 3})
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: SnmpAgent(switch, "test"), local_addr=("127.0.0.1", 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        ports = await bridge(port).ports()
        table = {"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY"}
        panel = await kind.panel(table)
    finally:
        transport.close()
    assert [one.number for one in ports] == list(range(1, 41))
    assert [(one.up, one.pvid, one.macs) for one in ports[1:3]] == [(False, 1, ()), (False, 1, (MAC,))]
    assert len(panel.ends) == 40
    assert panel.ends[39] == ({"port": 40}, PowerReading(PowerState.OFF, None, "disabled"))
    assert panel.pools == {"group 1": PoolReading(600.0, 0.0)}


async def test_a_poe_switch_lists_its_ports() -> None:
    """The table of RFC 3621 names every port, as the keys of a wire; other drivers list none."""
    kind = driver_class(POWER, "snmp-poe")
    assert isinstance(kind, ListsEnds)
    async with poe_switch({}) as port:
        ends = await kind.ends({"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY"})
    assert {"port": 1} in ends
    assert len({tuple(end.items()) for end in ends}) == len(ends) >= 2
    assert not isinstance(driver_class(POWER, "fake"), ListsEnds)


async def test_a_switch_that_is_away_is_an_error_and_not_an_empty_table() -> None:
    """Nobody is told that a machine is on no port when nobody could look."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EquipmentUnreachable):
        await bridge(port).find(MAC)


def test_what_cannot_be_asked_is_none() -> None:
    """Equipment of other kinds has no forwarding table."""
    assert network_driver("fake", {}) is None
