"""Programs as a supply: their exit codes are believed, their words are not taken for more than they say."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentRefused
from hostler.drivers.power.command import Command
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path

ON_OFF: dict[str, object] = {"on": ["true"], "off": ["true"]}


def _shell(script: str) -> list[str]:
    return ["sh", "-c", script]


async def test_the_outlet_is_one_argument_and_no_shell(tmp_path: Path) -> None:
    """A name with spaces and dollars arrives as it was written."""
    table = {"on": ["touch", f"{tmp_path}/{{outlet}}"], "off": ["true"]}
    await Command.from_config(table, {"outlet": "$(id) a"}).set(PowerState.ON)
    assert (tmp_path / "$(id) a").exists()


async def test_a_failure_is_an_error_and_never_off() -> None:
    """Whatever a failed program printed, it is not believed."""
    table = {"on": _shell("echo jammed >&2; exit 3"), "off": ["true"], "status": _shell("echo off; exit 1")}
    command = Command.from_config(table, {})
    with pytest.raises(EquipmentRefused, match="ended with 3: jammed"):
        await command.set(PowerState.ON)
    with pytest.raises(EquipmentRefused, match="ended with 1"):
        await command.get()


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        ("on", PowerState.ON),
        ("connecting\nOFF\n", PowerState.OFF),
        ("offline", PowerState.UNKNOWN),
        ("", PowerState.UNKNOWN),
    ],
)
async def test_only_on_and_off_are_understood(printed: str, state: PowerState) -> None:
    """The last line alone counts; other words are unknown, and shown."""
    reading = await Command.from_config({**ON_OFF, "status": ["printf", printed or "%s"]}, {}).get()
    assert reading.state is state
    assert reading.detail


async def test_without_a_status_nothing_is_known() -> None:
    """What was asked for is not what is."""
    command = Command.from_config({}, ON_OFF)
    assert not command.capabilities.can_read
    await command.set(PowerState.OFF)
    assert (await command.get()).state is PowerState.UNKNOWN


async def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """The deadline holds for the program and for what it started."""
    table = {**ON_OFF, "on": _shell(f"(sleep 1; touch {tmp_path}/late) & wait"), "timeout": 0.2}
    started = time.monotonic()
    with pytest.raises(DriverTimeout, match=r"0\.2 s"):
        await Command.from_config(table, {}).set(PowerState.ON)
    assert time.monotonic() - started < 0.9
    await asyncio.sleep(1.1)
    assert not (tmp_path / "late").exists()


async def test_it_gets_its_own_secrets_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs see the variables their table names, not those of the server."""
    monkeypatch.setenv("LAB_PDU", "s3cret")
    monkeypatch.setenv("LAB_OTHER", "not yours")
    status = _shell('[ "$TOKEN" = s3cret ] && [ -z "$LAB_OTHER$LAB_PDU" ] && echo on')
    table = {**ON_OFF, "status": status, "environment": {"TOKEN": "env:LAB_PDU"}}
    assert (await Command.from_config(table, {}).get()).state is PowerState.ON


async def test_no_such_program() -> None:
    """The key that names it is blamed."""
    with pytest.raises(DriverConfigError) as caught:
        await Command.from_config({**ON_OFF, "off": ["/no/such/program"]}, {}).set(PowerState.OFF)
    assert caught.value.key == "off"


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({"on": ["true"]}, {}, "off"),
        ({**ON_OFF, "on": "true --now"}, {}, "on"),
        ({**ON_OFF, "status": []}, {}, "status"),
        ({**ON_OFF, "on": ["x", "{outlet}"]}, {}, "outlet"),
        (ON_OFF, {"outlet": "-rf"}, "outlet"),
        (ON_OFF, {"on": ["true"]}, "on"),
        ({**ON_OFF, "environment": {"A": "literal"}}, {}, "environment"),
        ({**ON_OFF, "environment": {"A=B": "env:X"}}, {}, "environment"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Command.from_config(equipment, binding)
    assert caught.value.key == key
