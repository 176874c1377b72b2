"""Switches by their command line: both ways in, every dialect we have a switch for, and what goes wrong."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from power_cases_cli import LOGIN

from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
    UnknownPort,
)
from hostler.drivers.power.switch_cli import DIALECTS, SwitchCli
from hostler.drivers.power.switch_cli_fake import FakeSwitch
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from silent import SilentPort

WAYS = [("tp-link", "telnet"), ("tp-link", "ssh"), ("unifi", "ssh"), ("unifi-fastpath", "ssh")]
DESCRIBED = {
    "dialect": "described",
    "on": ["enable", "config", "interface gigabitEthernet {port}", "power inline supply enable"],
    "off": ["enable", "config", "interface gigabitEthernet {port}", "power inline supply disable"],
    "get": [{"send": "enable", "expect": "# ?$"}, "show power inline information interface {port}"],
    "row": r"(?m)^ *Gi{port}\s.*$",
    "reads_on": r"\bON\s*$",
    "reads_off": r"\bOFF\s*$",
}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")
    monkeypatch.setenv("LAB_ENABLE", "more-s3cret")


@asynccontextmanager
async def _table(switch: FakeSwitch, transport: str) -> AsyncIterator[dict[str, object]]:
    base = {"transport": transport, "timeout": 3, **LOGIN}
    if transport == "telnet":
        async with switch.telnet() as host:
            yield {"host": host, **base}
    else:
        async with switch.ssh() as (host, fingerprint):
            yield {"host": host, "host_key": fingerprint, **base}


def _switch(dialect: str = "tp-link", **options: object) -> FakeSwitch:
    return FakeSwitch(dialect.removesuffix("-fastpath"), "s3cret", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("dialect", "transport"), WAYS)
async def test_one_port_is_switched_and_no_other(dialect: str, transport: str) -> None:
    """On and off reach the port meant; the reading carries the watts."""
    switch = _switch(dialect)
    async with _table(switch, transport) as table:
        driver = SwitchCli.from_config({**table, "dialect": dialect}, {"port": 3})
        assert (await driver.get()).state is PowerState.OFF
        await driver.set(PowerState.ON)
        reading = await driver.get()
        assert (reading.state, (reading.watts or 0) > 4) == (PowerState.ON, True)
        assert [port for port, on in switch.powered.items() if on] == [3]
        await driver.set(PowerState.OFF)
        assert (await driver.get()).state is PowerState.OFF


@pytest.mark.parametrize(
    "prompts", [("User:", "Password:"), ("Login", "Password"), ("Username: ", "Password: ")]
)
async def test_prompts_differ_by_firmware(prompts: tuple[str, str]) -> None:
    """Each way of asking for user and password is answered."""
    async with _table(_switch(prompts=prompts), "telnet") as table:
        driver = SwitchCli.from_config({**table, "dialect": "tp-link"}, {"port": 1})
        assert (await driver.get()).state is PowerState.OFF


async def test_a_switch_that_asks_again_inside_ssh() -> None:
    """Some ask for user and password once more after ssh has let them in."""
    async with _table(_switch(asks_again=True), "ssh") as table:
        driver = SwitchCli.from_config({**table, "dialect": "tp-link"}, {"port": 1})
        assert (await driver.get()).state is PowerState.OFF


async def test_a_user_who_is_privileged_from_the_start() -> None:
    """Where the prompt is # already, "enable" would be refused and is left out."""
    switch = _switch(privileged=True)
    async with _table(switch, "telnet") as table:
        driver = SwitchCli.from_config({**table, "dialect": "tp-link"}, {"port": 2})
        await driver.set(PowerState.ON)
        assert (await driver.get()).state is PowerState.ON
    assert "enable" not in switch.lines


async def test_long_output_is_paged_through() -> None:
    """A pager is answered, not waited for."""
    switch = _switch(page=True)
    switch.powered[2] = True
    async with _table(switch, "telnet") as table:
        driver = SwitchCli.from_config({**table, "dialect": "tp-link"}, {"port": 2})
        assert (await driver.get()).state is PowerState.ON


async def test_enable_may_want_a_password_of_its_own() -> None:
    """It is given where configured; else the message names the key."""
    async with _table(_switch(enable_password="more-s3cret"), "telnet") as table:
        table["dialect"] = "tp-link"
        with pytest.raises(EquipmentRefused, match="enable_password"):
            await SwitchCli.from_config(table, {"port": 1}).set(PowerState.ON)
        driver = SwitchCli.from_config({**table, "enable_password": "env:LAB_ENABLE"}, {"port": 1})
        await driver.set(PowerState.ON)
        assert (await driver.get()).state is PowerState.ON


@pytest.mark.parametrize("transport", ["telnet", "ssh"])
async def test_a_wrong_password_is_refused_and_not_repeated(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the reference."""
    monkeypatch.setenv("LAB_PASSWORD", "hunter2")
    async with _table(_switch(), transport) as table:
        with pytest.raises(EquipmentRefused, match="env:LAB_PASSWORD") as caught:
            await SwitchCli.from_config({**table, "dialect": "tp-link"}, {"port": 1}).get()
    assert "hunter2" not in str(caught.value)


async def test_another_host_key_gets_no_password() -> None:
    """Whoever answers with another key is told apart before the password goes out."""
    async with _table(_switch(), "ssh") as table:
        wrong = {**table, "dialect": "tp-link", "host_key": "SHA256:" + "A" * 43}
        with pytest.raises(EquipmentRefused, match=str(table["host_key"]).replace("+", ".")):
            await SwitchCli.from_config(wrong, {"port": 1}).get()
        anyone = SwitchCli.from_config(
            {**table, "dialect": "tp-link", "host_key": "any", "old_ssh": True}, {"port": 1}
        )
        assert (await anyone.get()).state is PowerState.OFF


@pytest.mark.parametrize(("dialect", "transport"), WAYS)
async def test_a_port_the_switch_does_not_have(dialect: str, transport: str) -> None:
    """Reading and setting an absent port are errors and switch nothing."""
    switch = _switch(dialect)
    async with _table(switch, transport) as table:
        driver = SwitchCli.from_config({**table, "dialect": dialect}, {"port": 77})
        with pytest.raises(UnknownPort):
            await driver.get()
        with pytest.raises((UnknownPort, EquipmentRefused)):
            await driver.set(PowerState.ON)
    assert not any(switch.powered.values())


@pytest.mark.parametrize(
    ("misbehaviour", "expected"),
    [("lie", PowerState.OFF), ("neighbour", PowerState.OFF), ("overload", PowerState.OFF)],
)
async def test_reading_shows_what_is(misbehaviour: str, expected: PowerState) -> None:
    """A switch that agreed and did nothing, or something else, reads as what is."""
    switch = _switch()
    switch.misbehaviour = misbehaviour
    async with _table(switch, "telnet") as table:
        driver = SwitchCli.from_config({**table, "dialect": "tp-link"}, {"port": 3})
        await driver.set(PowerState.ON)
        assert (await driver.get()).state is expected


@pytest.mark.parametrize("transport", ["telnet", "ssh"])
@pytest.mark.parametrize(("misbehaviour", "error"), [("hang", DriverTimeout), ("drop", EquipmentUnreachable)])
async def test_a_session_that_ends_in_the_middle(
    transport: str, misbehaviour: str, error: type[Exception]
) -> None:
    """A switch that hangs costs the deadline, one that drops the session is told at once."""
    switch = _switch()
    switch.misbehaviour = misbehaviour
    async with _table(switch, transport) as table:
        driver = SwitchCli.from_config({**table, "dialect": "tp-link", "timeout": 1}, {"port": 3})
        with pytest.raises(error):
            await driver.set(PowerState.ON)


@pytest.mark.parametrize("transport", ["telnet", "ssh"])
async def test_silence_and_a_closed_port(transport: str, silent_port: SilentPort) -> None:
    """Neither a mute peer nor an absent one holds a call longer than its deadline."""
    table = {"host": silent_port.address, "host_key": "any", "transport": transport, **LOGIN}
    driver = SwitchCli.from_config({**table, "dialect": "tp-link", "timeout": 0.3}, {"port": 3})
    with pytest.raises(DriverTimeout):
        await driver.get()
    silent_port.close()
    with pytest.raises(EquipmentUnreachable):
        await driver.get()


async def test_any_other_switch_can_be_described() -> None:
    """Lines and patterns in lab.toml do what a row of ours does."""
    switch = _switch()
    async with _table(switch, "telnet") as table:
        driver = SwitchCli.from_config({**table, **DESCRIBED}, {"port": "1/0/5"})
        await driver.set(PowerState.ON)
        assert (await driver.get()).state is PowerState.ON
        assert switch.powered[5]
        blind = {
            key: value for key, value in DESCRIBED.items() if key not in ("get", "reads_on", "reads_off")
        }
        driver = SwitchCli.from_config({**table, **blind}, {"port": "1/0/5"})
        assert not driver.capabilities.can_read
        assert (await driver.get()).state is PowerState.UNKNOWN


def test_ios_rows_are_read() -> None:
    """The table's patterns fit the rows such switches print; no such switch is here to ask."""
    import re

    dialect = DIALECTS["ios"]
    row = "Gi1/0/3   auto   on         15.4    Ieee PD             4     30.0"
    assert re.search(dialect.reads_on, row)
    assert not re.search(dialect.reads_off, row)
    assert re.search(dialect.watts, row)[1] == "15.4"  # type: ignore[index]
    assert re.search(dialect.reads_off, row.replace(" on ", " off"))


@pytest.mark.parametrize(
    ("change", "port", "key"),
    [
        ({"host": None}, 1, "host"),
        ({"dialect": "acme"}, 1, "dialect"),
        ({"dialect": None}, 1, "dialect"),
        ({"transport": "serial"}, 1, "transport"),
        ({"host_key": None}, 1, "host_key"),
        ({"host_key": "SHA256:short"}, 1, "host_key"),
        ({"password": "plain"}, 1, "password"),
        ({"enable_password": "plain"}, 1, "enable_password"),
        ({"user": None}, 1, "user"),
        ({"old_ssh": "yes"}, 1, "old_ssh"),
        ({"on": ["x"]}, 1, "on"),
        ({}, None, "port"),
        ({}, "3\rreload", "port"),
        ({}, "3; reboot", "port"),
        ({**DESCRIBED, "on": []}, 1, "on"),
        ({**DESCRIBED, "off": ["a\rb"]}, 1, "off"),
        ({**DESCRIBED, "get": [{"sent": "x"}]}, 1, "get"),
        ({**DESCRIBED, "row": "("}, 1, "row"),
        ({**DESCRIBED, "reads_on": None}, 1, "reads_on"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, object], port: object, key: str) -> None:
    """Every mistake in a table is answered with the key it is in; a port's name brings no second line."""
    table = {"host": "sw", "dialect": "tp-link", "host_key": "any", **LOGIN, **change}
    table = {name: value for name, value in table.items() if value is not None}
    with pytest.raises(DriverConfigError) as caught:
        SwitchCli.from_config(table, {} if port is None else {"port": port})
    assert caught.value.key == key
