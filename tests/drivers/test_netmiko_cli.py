"""netmiko's own idea of a TP-Link switch, against the one we made: two readings of the same manners."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.netmiko_cli import Netmiko
from hostler.drivers.power.switch_cli_fake import FakeSwitch
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from silent import SilentPort

TALK = {
    "device_type": "tplink_jetstream",
    "user": "admin",
    "password": "env:LAB_PASSWORD",
    "known_hosts": "any",
    "timeout": 30,  # a session takes seconds on a busy machine
    "on": ["interface gigabitEthernet {port}", "power inline supply enable"],
    "off": ["interface gigabitEthernet {port}", "power inline supply disable"],
    "get": "show power inline information interface gigabitEthernet {port}",
    "row": r"^ *Gi{port}\s.*$",
    "reads_on": r"\bON\s*$",
    "reads_off": r"\bOFF\s*$",
}
PORT = {"port": "1/0/3"}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")


@asynccontextmanager
async def _served(switch: FakeSwitch) -> AsyncIterator[dict[str, object]]:
    async with switch.ssh() as (host, _fingerprint):
        yield {**TALK, "host": host}


async def test_only_the_port_asked_for_is_switched() -> None:
    """On and off reach port 3 and no other, and are read back."""
    switch = FakeSwitch("tp-link", "s3cret")
    async with _served(switch) as table:
        driver = Netmiko.from_config(table, PORT)
        await driver.set(PowerState.ON)
        reading = await driver.get()
        on = [port for port, powered in switch.powered.items() if powered]
        await driver.set(PowerState.OFF)
        assert (reading.state, on, (await driver.get()).state) == (PowerState.ON, [3], PowerState.OFF)


async def test_a_port_the_switch_does_not_have_is_refused_in_its_words() -> None:
    """The switch's own complaint reaches the operator, and nothing is switched."""
    switch = FakeSwitch("tp-link", "s3cret")
    async with _served(switch) as table:
        with pytest.raises(EquipmentRefused, match="Invalid port"):
            await Netmiko.from_config(table, {"port": "1/0/99"}).set(PowerState.ON)
    assert not any(switch.powered.values())


async def test_a_wrong_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the reference."""
    monkeypatch.setenv("LAB_PASSWORD", "wrong-one")
    async with _served(FakeSwitch("tp-link", "s3cret")) as table:
        with pytest.raises(EquipmentRefused, match="env:LAB_PASSWORD") as caught:
            await Netmiko.from_config(table, PORT).get()
    assert "wrong-one" not in str(caught.value)


async def test_silence_and_nobody(silent_port: SilentPort) -> None:
    """A switch that hangs costs the deadline; one that is not there is told at once."""
    table = {**TALK, "host": silent_port.address, "timeout": 0.5}
    with pytest.raises((DriverTimeout, EquipmentUnreachable)):
        await Netmiko.from_config(table, PORT).get()
    silent_port.close()
    with pytest.raises(EquipmentUnreachable):
        await Netmiko.from_config(table, PORT).get()


async def test_an_unknown_host_key_gets_no_password(tmp_path: Path) -> None:
    """With a known_hosts file that does not list the switch, nobody is logged in."""
    (tmp_path / "known_hosts").write_text("")
    switch = FakeSwitch("tp-link", "s3cret")
    async with _served(switch) as table:
        table["known_hosts"] = str(tmp_path / "known_hosts")
        with pytest.raises((EquipmentRefused, EquipmentUnreachable)):
            await Netmiko.from_config(table, PORT).get()
    assert switch.lines == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"device_type": None}, "device_type"),
        ({"known_hosts": None}, "known_hosts"),
        ({"on": []}, "on"),
        ({"off": ["a\nb"]}, "off"),
        ({"row": "("}, "row"),
        ({"reads_on": None}, "reads_on"),
        ({"speed": 9}, "speed"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    table = {name: value for name, value in {**TALK, "host": "switch", **change}.items() if value is not None}
    with pytest.raises(DriverConfigError) as caught:
        Netmiko.from_config(table, PORT)
    assert caught.value.key == key
