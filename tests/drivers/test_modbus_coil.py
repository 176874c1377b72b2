"""Modbus coils against pymodbus's server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from modbus_card import modbus_card

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.modbus_coil import ModbusCoil
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from silent import SilentPort


def _driver(host: str, coil: int = 3, timeout: float = 1.0, **binding: object) -> ModbusCoil:
    return ModbusCoil.from_config({"host": host, "timeout": timeout}, {"coil": coil, **binding})


async def test_one_coil_and_no_other() -> None:
    """Switching coil 3 leaves 2 and 4 as they were."""
    async with modbus_card() as host:
        await _driver(host).set(PowerState.ON)
        states = [(await _driver(host, coil).get()).state for coil in (2, 3, 4)]
    assert states == [PowerState.OFF, PowerState.ON, PowerState.OFF]


async def test_an_inverted_coil_feeds_while_it_is_not_energised() -> None:
    """A relay wired to its resting contact is on when the coil is 0."""
    async with modbus_card() as host:
        assert (await _driver(host, inverted=True).get()).state is PowerState.ON
        await _driver(host, inverted=True).set(PowerState.OFF)
        assert (await _driver(host).get()).state is PowerState.ON
        assert (await _driver(host, inverted=True).get()).state is PowerState.OFF


async def test_an_input_tells_what_is() -> None:
    """With a sense input the coil's own state does not count."""
    async with modbus_card(inputs=1 << 5) as host:
        assert (await _driver(host, input=5).get()).state is PowerState.ON
        await _driver(host, input=6).set(PowerState.ON)
        assert (await _driver(host, input=6).get()).state is PowerState.OFF


async def test_a_coil_the_card_does_not_have() -> None:
    """An address outside the card says that the binding is wrong."""
    async with modbus_card() as host:
        with pytest.raises(UnknownPort, match="coil 99"):
            await _driver(host, 99).get()
        with pytest.raises(UnknownPort, match="coil 99"):
            await _driver(host, 99).set(PowerState.ON)


async def test_silence_and_a_closed_port(silent_port: SilentPort) -> None:
    """A card that hangs costs the deadline; one that is not there is told at once."""
    with pytest.raises((DriverTimeout, EquipmentUnreachable)):
        await _driver(silent_port.address, timeout=0.3).get()
    silent_port.close()
    with pytest.raises(EquipmentUnreachable, match=silent_port.address):
        await _driver(silent_port.address).set(PowerState.ON)


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({}, {"coil": 1}, "host"),
        ({"host": "m"}, {}, "coil"),
        ({"host": "m"}, {"coil": 65536}, "coil"),
        ({"host": "m", "unit": 300}, {"coil": 1}, "unit"),
        ({"host": "m"}, {"coil": 1, "input": "a"}, "input"),
        ({"host": "m"}, {"coil": 1, "inverted": 1}, "inverted"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        ModbusCoil.from_config(equipment, binding)
    assert caught.value.key == key
