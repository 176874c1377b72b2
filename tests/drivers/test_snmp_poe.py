"""PoE over SNMP: readings, and the ways it fails, each named by what the operator does next."""

from __future__ import annotations

import socket

import pytest
from lamps import Lamp, poe_switch

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.snmp_poe import SnmpPoe
from hostler.model.power import PowerState


@pytest.fixture(autouse=True)
def _community(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_COMMUNITY", "test")


def _driver(port: int, number: int = 1, **equipment: object) -> SnmpPoe:
    table = {"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY", "timeout": 0.2, **equipment}
    return SnmpPoe.from_config(table, {"port": number})


async def test_a_port_that_feeds_nothing_is_off_and_says_searching() -> None:
    """Enabled but not delivering is off: the board has no power, whatever the switch was told."""
    async with poe_switch({}) as port:
        await _driver(port).set(PowerState.ON)
        reading = await _driver(port).get()
    assert (reading.state, reading.detail) == (PowerState.OFF, "searching")


async def test_a_fault_is_off_with_its_name() -> None:
    """A port in fault feeds nothing, and the person must learn why."""
    async with poe_switch({1: Lamp(broken=True)}) as port:
        await _driver(port).set(PowerState.ON)
        reading = await _driver(port).get()
    assert (reading.state, reading.detail) == (PowerState.OFF, "fault")


async def test_detection_is_believed_over_the_admin_state() -> None:
    """A disabled port that still delivers is on, and the detail says that the two disagree."""
    async with poe_switch({1: Lamp(stuck=True)}) as port:
        reading = await _driver(port).get()
    assert reading.state is PowerState.ON
    assert "although the port is disabled" in reading.detail


async def test_a_port_the_switch_does_not_have() -> None:
    """Reading and setting an absent port say that the binding is wrong."""
    async with poe_switch({}) as port:
        with pytest.raises(UnknownPort, match="9"):
            await _driver(port, 9).get()
        with pytest.raises(UnknownPort, match="9"):
            await _driver(port, 9).set(PowerState.ON)


async def test_nothing_listens_there() -> None:
    """A refused UDP port is told at once, not after all attempts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EquipmentUnreachable, match=str(port)):
        await _driver(port).get()


async def test_a_wrong_community_looks_like_silence_and_the_message_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Agents do not answer a wrong community; the message names the reference, never the secret."""
    monkeypatch.setenv("LAB_COMMUNITY", "s3cret-but-wrong")
    async with poe_switch({}) as port:
        with pytest.raises(DriverTimeout, match="env:LAB_COMMUNITY") as caught:
            await _driver(port).get()
    assert "s3cret" not in str(caught.value)


async def test_an_agent_that_never_answers_ends_in_time() -> None:
    """A socket that swallows everything costs the deadline, no more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        with pytest.raises(DriverTimeout):
            await _driver(hole.getsockname()[1]).set(PowerState.ON)


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({"community": "env:X"}, {"port": 1}, "host"),
        ({"host": "sw:x", "community": "env:X"}, {"port": 1}, "host"),
        ({"host": "sw"}, {"port": 1}, "community"),
        ({"host": "sw", "community": "public"}, {"port": 1}, "community"),
        ({"host": "sw", "community": "env:X"}, {}, "port"),
        ({"host": "sw", "community": "env:X"}, {"port": 0}, "port"),
        ({"host": "sw", "community": "env:X"}, {"port": True}, "port"),
        ({"host": "sw", "community": "env:X"}, {"port": 1, "group": "a"}, "group"),
        ({"host": "sw", "community": "env:X", "timeout": "soon"}, {"port": 1}, "timeout"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        SnmpPoe.from_config(equipment, binding)
    assert caught.value.key == key
