"""USB hubs through uhubctl."""

from __future__ import annotations

import shutil
import time

import pytest
from usb_hub import usb_hub

from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
    UnknownPort,
)
from hostler.drivers.power.uhubctl import Uhubctl
from hostler.model.power import PowerState


def _driver(location: str = "1-1", port: int = 2, timeout: float = 5) -> Uhubctl:
    return Uhubctl.from_config({"location": location, "timeout": timeout}, {"port": port})


async def test_one_port_and_no_other() -> None:
    """Both halves of a USB 3 hub are read; only the port meant is switched."""
    with usb_hub() as state:
        assert (await _driver().get()).state is PowerState.OFF
        await _driver().set(PowerState.ON)
        assert (await _driver().get()).state is PowerState.ON
        assert [path.name for path in state.iterdir()] == ["2"]
        assert (await _driver(port=3).get()).state is PowerState.OFF


async def test_what_goes_wrong_is_named() -> None:
    """No hub, no port, no rights, no end: each has its own error."""
    with usb_hub() as state:
        with pytest.raises(EquipmentUnreachable, match="1-7"):
            await _driver("1-7").set(PowerState.ON)
        with pytest.raises(UnknownPort, match="9"):
            await _driver(port=9).get()
        (state / "forbidden").touch()
        with pytest.raises(EquipmentRefused, match="udev"):
            await _driver().get()
        (state / "hang").touch()
        started = time.monotonic()
        with pytest.raises(DriverTimeout):
            await _driver(timeout=0.3).set(PowerState.ON)
        assert time.monotonic() - started < 3


async def test_a_program_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is missing."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EquipmentUnreachable, match="uhubctl cannot be run"):
        await _driver().get()


@pytest.mark.skipif(not shutil.which("uhubctl"), reason="uhubctl is not installed")
async def test_the_real_program_knows_no_such_hub() -> None:
    """The program itself takes our arguments and says what we expect of a hub that is not there."""
    with pytest.raises((EquipmentUnreachable, EquipmentRefused)):
        await _driver("250-1").get()


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({}, {"port": 1}, "location"),
        ({"location": "-a off"}, {"port": 1}, "location"),
        ({"location": "1-1"}, {}, "port"),
        ({"location": "1-1", "force": 1}, {"port": 1}, "force"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Uhubctl.from_config(equipment, binding)
    assert caught.value.key == key
