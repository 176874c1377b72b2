"""GPIO lines, over a thin stand-in for the kernel's line requests."""

from __future__ import annotations

import pytest
from gpio_lines import Lines, gpio

from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.gpio import Gpio, _Held
from hostler.model.power import PowerState


async def test_one_line_and_no_other() -> None:
    """Driving line 3 leaves the others alone; a line that nobody drives yet says nothing."""
    lines = Lines()
    driver = gpio(lines)
    assert (await driver.get()).state is PowerState.UNKNOWN
    await driver.set(PowerState.ON)
    assert (await driver.get()).state is PowerState.ON
    assert [number for number, level in lines.levels.items() if level] == [3]
    assert lines.outputs == {3}


async def test_a_low_level_may_feed() -> None:
    """active_low turns the level round for driving and for reading."""
    lines = Lines()
    driver = gpio(lines, active_low=True)
    await driver.set(PowerState.OFF)
    assert lines.levels[3]
    assert (await driver.get()).state is PowerState.OFF
    await driver.set(PowerState.ON)
    assert not lines.levels[3]


async def test_a_sense_line_tells_what_is() -> None:
    """With a sense line the driven one does not count, and the sense line is never driven."""
    lines = Lines()
    driver = gpio(lines, line="RESET", sense=6)
    await driver.set(PowerState.ON)
    assert (await driver.get()).state is PowerState.OFF
    lines.levels[6] = True
    assert (await driver.get()).state is PowerState.ON
    assert lines.outputs == {5}


async def test_a_lab_read_anew_finds_its_lines_again() -> None:
    """Two drivers of one program share the line, also when the description of the line has changed."""
    lines, held = Lines(), _Held()
    await gpio(lines, held).set(PowerState.ON)
    assert (await gpio(lines, held).get()).state is PowerState.ON
    assert (await gpio(lines, held, active_low=True).get()).state is PowerState.OFF
    with pytest.raises(EquipmentRefused, match="another program"):
        await gpio(lines).get()


async def test_lines_and_chips_that_are_not_there() -> None:
    """The binding is wrong, or the chip is gone: two different things to do."""
    with pytest.raises(UnknownPort, match="99"):
        await gpio(Lines(), line=99).set(PowerState.ON)
    absent = Gpio.from_config({"chip": "/dev/gpiochip-absent"}, {"line": 1})
    with pytest.raises(EquipmentUnreachable, match="gpiochip-absent"):
        await absent.get()


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({}, {"line": 1}, "chip"),
        ({"chip": "c"}, {}, "line"),
        ({"chip": "c"}, {"line": -1}, "line"),
        ({"chip": "c"}, {"line": 1, "active_low": "yes"}, "active_low"),
        ({"chip": "c"}, {"line": 1, "sense": 1}, "sense"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Gpio.from_config(equipment, binding)
    assert caught.value.key == key
