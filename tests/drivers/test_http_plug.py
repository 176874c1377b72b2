"""Plugs over HTTP: every model both ways, and the ways they fail."""

from __future__ import annotations

import logging
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from power_cases_http import DESCRIBED

from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
    UnknownPort,
)
from hostler.drivers.power.http_plug import MODELS, HttpPlug
from hostler.drivers.power.http_plug_fake import FakePlug
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path

    from silent import SilentPort

LOGIN = {"user": "admin", "password": "env:LAB_PASSWORD"}
OUTLETS: dict[str, list[str]] = {
    "shelly": ["0", "1"],
    "shelly2": ["0", "1"],
    "tasmota": ["1", "2"],
    "esphome": ["relay_1", "Über 2"],
    "netio": ["1", "2"],
}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret&?")


def _driver(host: str, model: str, outlet: str, **equipment: object) -> HttpPlug:
    table = {"host": host, "model": model, "timeout": 2, **equipment}
    return HttpPlug.from_config(table, {"outlet": outlet if model == "esphome" else int(outlet)})


def test_every_model_is_proved_here() -> None:
    """A row in the table without a device that speaks it is a guess."""
    assert sorted(OUTLETS) == sorted(MODELS)


@pytest.mark.parametrize("login", [False, True], ids=["open", "login"])
@pytest.mark.parametrize("model", sorted(OUTLETS))
async def test_one_outlet_is_switched_and_no_other(model: str, login: bool) -> None:
    """On and off reach the outlet meant, with and without a password."""
    plug = FakePlug(model, OUTLETS[model], "admin" if login else "", "s3cret&?")
    async with plug.serve() as host:
        driver = _driver(host, model, OUTLETS[model][1], **(LOGIN if login else {}))
        assert (await driver.get()).state is PowerState.OFF
        await driver.set(PowerState.ON)
        reading = await driver.get()
        assert reading.state is PowerState.ON
        assert list(plug.outlets.values()) == [False, True]
        assert (reading.watts is not None) == driver.capabilities.watts
        await driver.set(PowerState.OFF)
        assert (await driver.get()).state is PowerState.OFF


@pytest.mark.parametrize("model", sorted(OUTLETS))
async def test_a_wrong_password_is_refused_and_never_repeated(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The message names the reference; neither it nor any log holds the password."""
    caplog.set_level(logging.DEBUG)
    async with FakePlug(model, OUTLETS[model], "admin", "another").serve() as host:
        driver = _driver(host, model, OUTLETS[model][0], **LOGIN)
        with pytest.raises(EquipmentRefused, match="env:LAB_PASSWORD") as caught:
            await driver.get()
        with pytest.raises(EquipmentRefused):
            await driver.set(PowerState.ON)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("model", sorted(OUTLETS))
async def test_an_outlet_the_device_does_not_have(model: str) -> None:
    """A wrong number is never taken for another outlet, and reading it is an error."""
    plug = FakePlug(model, OUTLETS[model])
    async with plug.serve() as host:
        driver = _driver(host, model, "7")
        with pytest.raises(UnknownPort):
            await driver.get()
        with pytest.raises((UnknownPort, EquipmentRefused)):
            await driver.set(PowerState.ON)
    assert not any(plug.outlets.values())


async def test_a_device_with_one_relay_leaves_the_number_out() -> None:
    """Tasmota says POWER, not POWER1, where there is only one; that is outlet 1 and no other."""
    async with FakePlug("tasmota", ["1"]).serve() as host:
        await _driver(host, "tasmota", "1").set(PowerState.ON)
        assert (await _driver(host, "tasmota", "1").get()).state is PowerState.ON


@pytest.mark.parametrize("misbehaviour", ["garbage", "endless"])
async def test_an_answer_that_is_none(misbehaviour: str) -> None:
    """A login page or a stream without end is refused, with words, in time."""
    plug = FakePlug("netio", ["1"])
    plug.misbehaviour = misbehaviour
    async with plug.serve() as host:
        with pytest.raises(EquipmentRefused):
            await _driver(host, "netio", "1").get()


async def test_tls_is_believed_only_where_somebody_vouches(tmp_path: Path) -> None:
    """A certificate of the device's own is taken when ca_file names it, and from nobody else."""
    certificate, key = tmp_path / "plug.pem", tmp_path / "plug.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=plug",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with FakePlug("shelly2", ["0"], "admin", "s3cret&?").serve(tls) as host:
        driver = _driver(host, "shelly2", "0", tls=True, ca_file=str(certificate), **LOGIN)
        await driver.set(PowerState.ON)
        assert (await driver.get()).state is PowerState.ON
        with pytest.raises(EquipmentUnreachable, match="certificate"):
            await _driver(host, "shelly2", "0", tls=True).get()
        with pytest.raises(DriverConfigError, match="ca_file"):
            await _driver(host, "shelly2", "0", tls=True, ca_file="/nonexistent").get()


async def test_reading_shows_a_lie() -> None:
    """A device that agrees and does nothing reads as what is."""
    plug = FakePlug("shelly", ["0"])
    plug.misbehaviour = "lie"
    async with plug.serve() as host:
        await _driver(host, "shelly", "0").set(PowerState.ON)
        assert (await _driver(host, "shelly", "0").get()).state is PowerState.OFF


async def test_silence_costs_the_deadline(silent_port: SilentPort) -> None:
    """A device that takes the request and never answers ends in time."""
    with pytest.raises(DriverTimeout):
        await _driver(silent_port.address, "shelly", "0", timeout=0.2).get()


async def test_nothing_listens(silent_port: SilentPort) -> None:
    """A closed port is told as unreachable."""
    silent_port.close()
    with pytest.raises(EquipmentUnreachable, match=silent_port.address):
        await _driver(silent_port.address, "shelly2", "0").set(PowerState.ON)


async def test_anything_else_can_be_described() -> None:
    """The table in lab.toml does what a row of ours does; without ``get`` nothing is known."""
    plug = FakePlug("netio", ["1", "2"])
    async with plug.serve() as host:
        driver = HttpPlug.from_config({"host": host, **DESCRIBED}, {"outlet": 2})
        await driver.set(PowerState.ON)
        assert (await driver.get()).state is PowerState.ON
        assert plug.outlets == {"1": False, "2": True}
        blind = {key: value for key, value in DESCRIBED.items() if key not in ("get", "state")}
        driver = HttpPlug.from_config({"host": host, **blind}, {"outlet": 2})
        assert not driver.capabilities.can_read
        await driver.set(PowerState.OFF)
        assert (await driver.get()).state is PowerState.UNKNOWN
        assert plug.outlets == {"1": False, "2": False}


async def test_a_value_that_is_neither_is_unknown() -> None:
    """What the table does not name is not taken for off; true is not 1."""
    async with FakePlug("netio", ["1"]).serve() as host:
        table = {"host": host, **DESCRIBED, "on_value": True, "off_value": False}
        reading = await HttpPlug.from_config(table, {"outlet": 1}).get()
    assert reading.state is PowerState.UNKNOWN
    assert "neither" in reading.detail


@pytest.mark.parametrize(
    ("equipment", "binding", "key"),
    [
        ({"model": "shelly2"}, {"outlet": 0}, "host"),
        ({"host": "p"}, {"outlet": 0}, "model"),
        ({"host": "p", "model": "shelly3"}, {"outlet": 0}, "model"),
        ({"host": "p", "model": "netio"}, {"outlet": 0}, "outlet"),
        ({"host": "p", "model": "netio"}, {}, "outlet"),
        ({"host": "p", "model": "esphome"}, {"outlet": 1}, "outlet"),
        ({"host": "p", "model": "netio", "user": "u"}, {"outlet": 1}, "password"),
        ({"host": "p", "model": "netio", "user": "u", "password": "plain"}, {"outlet": 1}, "password"),
        ({"host": "p", "model": "netio", "password": "env:X"}, {"outlet": 1}, "user"),
        ({"host": "p", "model": "netio", "tls": "yes"}, {"outlet": 1}, "tls"),
        ({"host": "p", "model": "netio", "on": "GET /"}, {"outlet": 1}, "on"),
        ({"host": "p", **DESCRIBED, "off": "/off"}, {"outlet": 1}, "off"),
        ({"host": "p", **DESCRIBED, "off_value": 1}, {"outlet": 1}, "off_value"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], binding: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        HttpPlug.from_config(equipment, binding)
    assert caught.value.key == key
