"""The virtual switch as an independent SNMP implementation sees it: net-snmp's tools."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hostler.virtual.switch import Load, PoeSwitch, PortForwarding, SnmpAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

ADMIN = "1.3.6.1.2.1.105.1.1.1.3.1"
DETECTION = "1.3.6.1.2.1.105.1.1.1.6.1"
LINK = "1.3.6.1.2.1.2.2.1.8"
STP = "1.3.6.1.2.1.17.2.15.1.3"
FDB = "1.3.6.1.2.1.17.4.3.1"
Q_FDB = "1.3.6.1.2.1.17.7.1.2.2.1"


@pytest.fixture(autouse=True)
def _net_snmp() -> None:
    if shutil.which("snmpget") is None:
        pytest.fail("net-snmp's tools are missing: install package snmp")


class Dying(Load):
    """A load that dies a moment after it has lost its supply, as a process does."""

    def __init__(self) -> None:
        self.fed = False
        self.alive = False

    @property
    def description(self) -> str:
        return "board"

    def supply(self, on: bool) -> None:
        self.fed = on
        self.alive = self.alive or on

    def drawing(self) -> bool:
        return self.alive

    def fault(self) -> str:
        return ""


def _switch(load: Load, ports: int = 3) -> AbstractAsyncContextManager[str]:
    return _agent(PoeSwitch(ports, {1: load}))


@asynccontextmanager
async def _agent(switch: PoeSwitch) -> AsyncIterator[str]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: SnmpAgent(switch, "lab"), local_addr=("127.0.0.1", 0)
    )
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


async def _tool(tool: str, agent: str, *arguments: str, community: str = "lab", version: str = "2c") -> str:
    options = ("-v", version, "-c", community, "-t", "1", "-r", "0", "-On", "-Oq", "-Oe")
    process = await asyncio.create_subprocess_exec(
        *(tool, *options, agent, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return output.decode()


async def test_snmpset_switches_and_snmpget_tells_what_is() -> None:
    """Enabling feeds the load; after disabling, detection says 'delivering' until it has really died."""
    load = Dying()
    async with _switch(load) as agent:
        assert f".{DETECTION}.1 1" in await _tool("snmpget", agent, f"{DETECTION}.1")
        assert f".{ADMIN}.1 1" in await _tool("snmpset", agent, f"{ADMIN}.1", "i", "1")
        assert load.fed
        assert f".{DETECTION}.1 3" in await _tool("snmpget", agent, f"{DETECTION}.1")
        await _tool("snmpset", agent, f"{ADMIN}.1", "i", "2")
        assert not load.fed
        assert f".{DETECTION}.1 3" in await _tool("snmpget", agent, f"{DETECTION}.1")
        load.alive = False
        assert f".{DETECTION}.1 1" in await _tool("snmpget", agent, f"{DETECTION}.1")
        assert f".{ADMIN}.2 1" in await _tool("snmpset", agent, f"{ADMIN}.2", "i", "1")
        assert f".{DETECTION}.2 2" in await _tool("snmpget", agent, f"{DETECTION}.2")


async def test_a_port_has_the_link_and_the_spanning_tree_of_the_bridge() -> None:
    """A board that draws power has no link where the cable is out, and the port tells why it is closed."""
    load = Dying()
    load.supply(on=True)
    switch = PoeSwitch(3, {1: load})
    async with _agent(switch) as agent:
        assert f".{LINK}.1 1" in await _tool("snmpget", agent, f"{LINK}.1")
        assert f".{STP}.1 5" in await _tool("snmpget", agent, f"{STP}.1")
        switch.connect({1: PortForwarding(up=False, spanning_tree=1)})
        assert f".{LINK}.1 2" in await _tool("snmpget", agent, f"{LINK}.1")
        assert f".{STP}.1 1" in await _tool("snmpget", agent, f"{STP}.1")


@pytest.mark.parametrize("tool", ["snmpwalk", "snmpbulkwalk"])
async def test_a_walk_shows_every_object_once_and_ends(tool: str) -> None:
    """GetNext and GetBulk go through the tree in order, even with 48 ports, and end with its end."""
    async with _switch(Dying(), 48) as agent:
        lines = (await _tool(tool, agent, "1.3")).splitlines()
    assert "No more variables left" in lines[-1]
    names = [line.split()[0] for line in lines if "No more variables" not in line]
    assert len(names) == len(set(names)) == 6 + 1 + 4 + 3 + 1 + 48 * (7 + 4 + 2 + 1 + 1)
    keys = [tuple(map(int, name.strip(".").split("."))) for name in names]
    assert keys == sorted(keys)


async def test_the_forwarding_tables_tell_what_the_bridge_learned() -> None:
    """BRIDGE-MIB and Q-BRIDGE-MIB show each MAC with its port, and forget what the bridge forgets."""
    switch = PoeSwitch(3, {})
    switch.learn({"52:54:00:00:00:01": 2})
    async with _agent(switch) as agent:
        mac = "82.84.0.0.0.1"
        assert f".{FDB}.2.{mac} 2" in await _tool("snmpwalk", agent, FDB)
        assert f".{FDB}.3.{mac} 3" in await _tool("snmpwalk", agent, FDB)
        assert f".{Q_FDB}.2.1.{mac} 2" in await _tool("snmpwalk", agent, Q_FDB)
        assert ".1.3.6.1.2.1.17.1.4.1.2.2 2" in await _tool("snmpget", agent, "1.3.6.1.2.1.17.1.4.1.2.2")
        switch.learn({})
        assert mac not in await _tool("snmpwalk", agent, "1.3.6.1.2.1.17")


@pytest.mark.parametrize(
    ("oid", "value", "answer"),
    [
        (f"{ADMIN}.1", ("i", "3"), "wrongValue"),
        (f"{ADMIN}.1", ("s", "on"), "wrongType"),
        (f"{ADMIN}.99", ("i", "1"), "noCreation"),
        (f"{DETECTION}.1", ("i", "3"), "notWritable"),
    ],
)
async def test_a_wrong_set_is_refused_and_changes_nothing(
    oid: str, value: tuple[str, str], answer: str
) -> None:
    """A set is all or nothing: the good half of a bad request is not done either."""
    load = Dying()
    async with _switch(load) as agent:
        assert answer in await _tool("snmpset", agent, f"{ADMIN}.1", "i", "1", oid, *value)
        assert f".{ADMIN}.1 2" in await _tool("snmpget", agent, f"{ADMIN}.1")
    assert not load.fed


async def test_strangers_get_no_answer() -> None:
    """A wrong community and SNMP v1 are met with silence, rubbish too."""
    async with _switch(Dying()) as agent:
        assert "Timeout" in await _tool("snmpget", agent, f"{ADMIN}.1", community="public")
        assert "Timeout" in await _tool("snmpget", agent, f"{ADMIN}.1", version="1")
    for rubbish in (b"", b"\x30", b"\x30\x82\xff\xff", bytes(range(256))):
        SnmpAgent(PoeSwitch(1, {}), "lab").datagram_received(rubbish, ("127.0.0.1", 1))


async def test_an_absent_object_does_not_spoil_its_neighbours() -> None:
    """One missing object in a request is marked as missing; the others are answered."""
    async with _switch(Dying()) as agent:
        answer = await _tool("snmpget", agent, f"{ADMIN}.1", f"{ADMIN}.9")
    assert f".{ADMIN}.1 2" in answer
    assert "No Such" in answer
