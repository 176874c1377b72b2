"""Rules every power driver keeps, run over all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import power_cases_bus as bus
import power_cases_cli as cli
import power_cases_first as first
import power_cases_http as http
import power_cases_local as local
import power_cases_racks as racks
import pytest

from hostler.drivers.errors import DriverConfigError
from hostler.drivers.registry import POWER, driver_names, power_driver
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from power_case import PowerCase

    from hostler.drivers.power.protocol import PowerDriver


# A file of cases a family of drivers: tests/drivers/power_cases_NAME.py.
DRIVERS: dict[str, PowerCase] = {
    **first.CASES,
    **http.CASES,
    **bus.CASES,
    **cli.CASES,
    **local.CASES,
    **racks.CASES,
}


@pytest.fixture(params=sorted(DRIVERS))
async def driver(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PowerDriver]:
    monkeypatch.setenv("LAB_COMMUNITY", "test")
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")
    async with DRIVERS[request.param].make() as made:
        yield made


def test_every_installed_driver_is_held_to_these_rules() -> None:
    """A driver that is installed but not tested here is a driver nobody promises anything about."""
    assert driver_names(POWER) == sorted(DRIVERS)


async def test_reads_back_what_was_set(driver: PowerDriver) -> None:
    """After set(on) the driver reads on, after set(off) off."""
    for state in (PowerState.ON, PowerState.OFF, PowerState.ON):
        await driver.set(state)
        assert (await driver.get()).state is _read(driver, state)


async def test_setting_twice_is_setting_once(driver: PowerDriver) -> None:
    """Set is idempotent: a keeper may repeat it after a restart."""
    await driver.set(PowerState.ON)
    await driver.set(PowerState.ON)
    assert (await driver.get()).state is _read(driver, PowerState.ON)
    await driver.set(PowerState.OFF)


async def test_unknown_cannot_be_asked_for(driver: PowerDriver) -> None:
    """UNKNOWN is an answer, not a wish."""
    with pytest.raises(ValueError, match="unknown"):
        await driver.set(PowerState.UNKNOWN)


async def test_calls_at_once_do_not_disturb_each_other(driver: PowerDriver) -> None:
    """Concurrent readings each get their own answer."""
    await driver.set(PowerState.ON)
    readings = await asyncio.gather(*(driver.get() for _ in range(10)))
    assert {reading.state for reading in readings} == {_read(driver, PowerState.ON)}


async def test_a_reading_says_in_words_what_it_saw(driver: PowerDriver) -> None:
    """A person gets the equipment's own words."""
    assert (await driver.get()).detail


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_capabilities_are_plausible(name: str) -> None:
    """Minimum off times are seconds, not minutes; making a driver opens nothing."""
    made = power_driver(name, DRIVERS[name].equipment, DRIVERS[name].binding)
    assert 0 <= made.capabilities.min_off_seconds < 30


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_an_unknown_key_is_an_error(name: str) -> None:
    """A typing error in either table is never taken for a default."""
    case = DRIVERS[name]
    with pytest.raises(DriverConfigError, match="prot"):
        power_driver(name, case.equipment, {**case.binding, "prot": 1})
    with pytest.raises(DriverConfigError, match="hots"):
        power_driver(name, {**case.equipment, "hots": "x"}, case.binding)


def _read(driver: PowerDriver, state: PowerState) -> PowerState:
    """What a driver must say after ``state`` was set: UNKNOWN where the equipment cannot tell."""
    return state if driver.capabilities.can_read else PowerState.UNKNOWN
