"""Relays behind a broker or a field bus."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from modbus_card import modbus_card
from mqtt_peers import Device, mosquitto
from power_case import PowerCase

from hostler.drivers.registry import power_driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.drivers.power.protocol import PowerDriver


@asynccontextmanager
async def _modbus_coil() -> AsyncIterator[PowerDriver]:
    async with modbus_card() as host:
        yield power_driver("modbus-coil", {"host": host}, {"coil": 3})


@asynccontextmanager
async def _mqtt_plug() -> AsyncIterator[PowerDriver]:
    with TemporaryDirectory() as folder:
        async with mosquitto(Path(folder)) as broker, Device("tasmota").connected(broker):
            login = {"user": "lab", "password": "env:LAB_PASSWORD"}
            yield power_driver(
                "mqtt-plug", {"host": broker, "model": "tasmota", **login}, {"device": "plug", "outlet": 1}
            )


CASES = {
    "modbus-coil": PowerCase(_modbus_coil, {"host": "card"}, {"coil": 0}),
    "mqtt-plug": PowerCase(_mqtt_plug, {"host": "broker", "model": "tasmota"}, {"device": "plug"}),
}
