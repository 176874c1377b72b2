"""Plugs over MQTT, with mosquitto between us and a device."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiomqtt
import pytest
from mqtt_peers import Device, mosquitto

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.mqtt_plug import MODELS, MqttPlug
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from silent import SilentPort

LOGIN = {"user": "lab", "password": "env:LAB_PASSWORD"}
# tasmota's topics spelt out as a person would for a device that has no row of its own
DESCRIBED = {
    "model": "described",
    "command": "cmnd/{device}/POWER{outlet}",
    "on": "ON",
    "off": "OFF",
    "state": "stat/{device}/POWER{outlet}",
    "query": "cmnd/{device}/POWER{outlet}",
}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")


def _driver(broker: str, model: str, outlet: object = 2, **equipment: object) -> MqttPlug:
    table = {"host": broker, "model": model, "timeout": 2, **LOGIN, **equipment}
    return MqttPlug.from_config(table, {"device": "plug", "outlet": outlet})


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("model", sorted(MODELS))
async def test_one_outlet_is_switched_and_no_other(model: str, tmp_path: Path) -> None:
    """On and off reach the outlet meant, through the broker and back."""
    async with mosquitto(tmp_path) as broker, Device(model).connected(broker) as device:
        driver = _driver(broker, model, timeout=30)
        assert (await driver.get()).state is PowerState.OFF
        await driver.set(PowerState.ON)
        await _until(lambda: device.on["2"])
        assert (await driver.get()).state is PowerState.ON
        assert device.on == {"1": False, "2": True}
        await driver.set(PowerState.OFF)
        await _until(lambda: not device.on["2"])  # it answers one by one: nobody hears old answers afterwards
        assert (await driver.get()).state is PowerState.OFF


async def test_a_device_that_is_gone_is_not_what_it_last_said(tmp_path: Path) -> None:
    """A retained state outlives its device; the last will says so, or the missing answer."""
    async with mosquitto(tmp_path) as broker:
        async with Device("esphome").connected(broker):
            assert (await _driver(broker, "esphome").get()).state is PowerState.OFF
        async with aiomqtt.Client(*_split(broker), username="lab", password="s3cret") as client:
            await client.publish("plug/status", "offline", qos=1, retain=True)
            await client.publish("shellies/plug/relay/2", "on", qos=1, retain=True)
        with pytest.raises(EquipmentUnreachable, match="offline"):
            await _driver(broker, "esphome").get()
        with pytest.raises(EquipmentUnreachable, match="the device does not"):
            await _driver(broker, "shelly", timeout=0.3).get()


async def test_a_deaf_device_reads_as_what_it_is(tmp_path: Path) -> None:
    """The broker takes every command; only the device's own word counts."""
    async with mosquitto(tmp_path) as broker, Device("esphome").connected(broker) as device:
        device.deaf = True
        await _driver(broker, "esphome").set(PowerState.ON)
        assert (await _driver(broker, "esphome").get()).state is PowerState.OFF
        reading = await _driver(broker, "esphome", "other").get()
        assert (reading.state, "nothing is retained" in reading.detail) == (PowerState.UNKNOWN, True)


async def test_any_other_device_can_be_described(tmp_path: Path) -> None:
    """Topics in lab.toml do what a row of ours does; without ``state`` nothing is known."""
    async with mosquitto(tmp_path) as broker, Device("tasmota").connected(broker) as device:
        driver = MqttPlug.from_config({"host": broker, **LOGIN, **DESCRIBED}, {"device": "plug", "outlet": 1})
        await driver.set(PowerState.ON)
        assert (await driver.get()).state is PowerState.ON
        assert device.on == {"1": True, "2": False}
        blind = {key: value for key, value in DESCRIBED.items() if key not in ("state", "query")}
        driver = MqttPlug.from_config({"host": broker, **LOGIN, **blind}, {"device": "plug", "outlet": 1})
        assert not driver.capabilities.can_read
        assert (await driver.get()).state is PowerState.UNKNOWN


async def test_a_wrong_password_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the reference."""
    monkeypatch.setenv("LAB_PASSWORD", "hunter2")
    async with mosquitto(tmp_path) as broker:
        with pytest.raises(EquipmentRefused, match="env:LAB_PASSWORD") as caught:
            await _driver(broker, "tasmota").set(PowerState.ON)
    assert "hunter2" not in str(caught.value)


async def test_silence_and_a_closed_port(silent_port: SilentPort) -> None:
    """Neither a mute broker nor an absent one holds a call longer than its deadline."""
    with pytest.raises((DriverTimeout, EquipmentUnreachable)):
        await _driver(silent_port.address, "tasmota", timeout=0.3).get()
    silent_port.close()
    with pytest.raises(EquipmentUnreachable):
        await _driver(silent_port.address, "tasmota").get()


@pytest.mark.parametrize(
    ("change", "binding", "key"),
    [
        ({"host": None}, {"device": "d"}, "host"),
        ({"model": "acme"}, {"device": "d"}, "model"),
        ({"user": None}, {"device": "d"}, "user"),
        ({"password": "plain"}, {"device": "d"}, "password"),
        ({"tls": 1}, {"device": "d"}, "tls"),
        ({"command": "x"}, {"device": "d"}, "command"),
        ({}, {}, "device"),
        ({}, {"device": "d/#"}, "device"),
        ({"model": "esphome"}, {"device": "d"}, "outlet"),
        ({**DESCRIBED, "state": "stat/#"}, {"device": "d"}, "state"),
        ({**DESCRIBED, "off": "ON"}, {"device": "d"}, "reads_off"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    table = {"host": "broker", "model": "tasmota", **LOGIN, **change}
    with pytest.raises(DriverConfigError) as caught:
        MqttPlug.from_config({name: value for name, value in table.items() if value is not None}, binding)
    assert caught.value.key == key


def _split(broker: str) -> tuple[str, int]:
    host, port = broker.split(":")
    return host, int(port)
