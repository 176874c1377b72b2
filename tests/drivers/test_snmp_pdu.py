"""Rack PDUs and SNMP's versions, against net-snmp's agent with the objects of each make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from snmpd import snmpd

from hostler.drivers.errors import (
    DriverConfigError,
    DriverError,
    DriverTimeout,
    EquipmentRefused,
    UnknownPort,
)
from hostler.drivers.power.snmp_pdu import MODELS, SnmpPdu
from hostler.drivers.power.snmp_poe import SnmpPoe
from hostler.drivers.registry import power_driver
from hostler.model.power import PowerReading, PowerState

if TYPE_CHECKING:
    from pathlib import Path

_ON, _OFF = PowerState.ON, PowerState.OFF

# Per make, outlet 5, spelt out apart from the table: what is written for on and off, what is then read where.
MAKES: dict[str, tuple[tuple[str, int], tuple[str, int], str, int, int]] = {
    "apc-masterswitch": (
        ("1.3.6.1.4.1.318.1.1.4.4.2.1.3.5", 1),
        ("1.3.6.1.4.1.318.1.1.4.4.2.1.3.5", 2),
        "1.3.6.1.4.1.318.1.1.4.4.2.1.3.5", 1, 2,
    ),
    "apc-rpdu": (
        ("1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.5", 1),
        ("1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.5", 2),
        "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.5", 1, 2,
    ),
    "apc-rpdu2": (
        ("1.3.6.1.4.1.318.1.1.26.9.2.4.1.5.5", 1),
        ("1.3.6.1.4.1.318.1.1.26.9.2.4.1.5.5", 2),
        "1.3.6.1.4.1.318.1.1.26.9.2.3.1.5.5", 2, 1,
    ),
    "cyberpower": (
        ("1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4.5", 1),
        ("1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4.5", 2),
        "1.3.6.1.4.1.3808.1.1.3.3.5.1.1.4.5", 1, 2,
    ),
    "eaton": (
        ("1.3.6.1.4.1.534.6.6.7.6.6.1.4.0.5", 0),
        ("1.3.6.1.4.1.534.6.6.7.6.6.1.3.0.5", 0),
        "1.3.6.1.4.1.534.6.6.7.6.6.1.2.0.5", 1, 0,
    ),
    "raritan": (
        ("1.3.6.1.4.1.13742.6.4.1.2.1.2.1.5", 1),
        ("1.3.6.1.4.1.13742.6.4.1.2.1.2.1.5", 0),
        "1.3.6.1.4.1.13742.6.4.1.2.1.3.1.5", 7, 8,
    ),
    "servertech": (
        ("1.3.6.1.4.1.1718.3.2.3.1.11.1.1.5", 1),
        ("1.3.6.1.4.1.1718.3.2.3.1.11.1.1.5", 2),
        "1.3.6.1.4.1.1718.3.2.3.1.5.1.1.5", 1, 0,
    ),
    "servertech-pro": (
        ("1.3.6.1.4.1.1718.4.1.8.5.1.2.1.1.5", 1),
        ("1.3.6.1.4.1.1718.4.1.8.5.1.2.1.1.5", 2),
        "1.3.6.1.4.1.1718.4.1.8.3.1.1.1.1.5", 1, 2,
    ),
}  # fmt: skip

POE_ADMIN, POE_STATUS = "1.3.6.1.2.1.105.1.1.1.3.1.7", "1.3.6.1.2.1.105.1.1.1.6.1.7"


def objects() -> tuple[dict[str, int], dict[str, dict[int, dict[str, int]]]]:
    """Return what an agent of every make at once holds, all off, with PoE port 7 of a switch."""
    values = {POE_ADMIN: 2, POE_STATUS: 1}
    effects: dict[str, dict[int, dict[str, int]]] = {
        POE_ADMIN: {1: {POE_ADMIN: 1, POE_STATUS: 3}, 2: {POE_ADMIN: 2, POE_STATUS: 1}}
    }
    for (on_oid, on), (off_oid, off), status, reads_on, reads_off in MAKES.values():
        values[status] = reads_off
        effects.setdefault(on_oid, {})[on] = {status: reads_on}
        effects.setdefault(off_oid, {})[off] = {status: reads_off}
    return values, effects


SECRETS = {
    "LAB_COMMUNITY": "test",
    "LAB_LOOK": "look",
    "LAB_SIGNED": "signed-password",
    "LAB_SEALED": "sealed-password",
    "LAB_PRIVACY": "sealed-privacy",
    "LAB_OLD": "old-password",
    "LAB_OLD_PRIVACY": "old-privacy",
    "LAB_READER": "reader-password",
    "LAB_SHORT": "short",
}

ACCESS: dict[str, dict[str, object]] = {
    "v1": {"version": "1", "community": "env:LAB_COMMUNITY"},
    "v2c": {"community": "env:LAB_COMMUNITY"},
    "v3 signed": {"user": "signed", "auth_password": "env:LAB_SIGNED"},
    "v3 sha256 aes": {
        "user": "sealed", "auth": "sha256", "auth_password": "env:LAB_SEALED",
        "privacy_password": "env:LAB_PRIVACY",
    },
    "v3 md5 des": {
        "user": "old", "auth": "md5", "auth_password": "env:LAB_OLD",
        "privacy": "des", "privacy_password": "env:LAB_OLD_PRIVACY",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def _pdu(port: int, model: str, outlet: object = 5, **equipment: object) -> SnmpPdu:
    access = {} if {"user", "community"} & equipment.keys() else ACCESS["v2c"]
    table = {"host": f"127.0.0.1:{port}", "model": model, "timeout": 0.5, **access, **equipment}
    return SnmpPdu.from_config(table, {"outlet": outlet})


def test_every_make_is_tested() -> None:
    """A row of the table that nobody holds against numbers of its own is a guess."""
    assert MAKES.keys() == MODELS.keys()


async def test_every_make_is_switched_and_read(tmp_path: Path) -> None:
    """Each make's own objects and numbers, on and off and on."""
    async with snmpd(tmp_path, *objects()) as port:
        for make in MAKES:
            pdu = _pdu(port, make)
            assert (await pdu.get()).state is _OFF, make
            for state in (_ON, _OFF, _ON):
                await pdu.set(state)
                assert (await pdu.get()).state is state, make


async def test_every_version_and_level(tmp_path: Path) -> None:
    """The same switch and the same PDU through SNMP v1, v2c and v3, signed, and signed and encrypted."""
    async with snmpd(tmp_path, *objects()) as port:
        for access in ACCESS.values():
            poe = SnmpPoe.from_config({"host": f"127.0.0.1:{port}", **access}, {"port": 7})
            for driver in (poe, _pdu(port, "raritan", **access)):
                for state in (_ON, _OFF):
                    await driver.set(state)
                    assert (await driver.get()).state is state, access


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ({"user": "nobody", "auth_password": "env:LAB_SIGNED"}, "does not know the user"),
        ({"user": "signed", "auth_password": "env:LAB_OLD"}, "auth_password is wrong"),
        ({"user": "sealed", "auth": "sha256", "auth_password": "env:LAB_SEALED"}, "authorizationError"),
        (
            {
                "user": "old",
                "auth": "md5",
                "auth_password": "env:LAB_OLD",
                "privacy": "des",
                "privacy_password": "env:LAB_PRIVACY",
            },
            "no answer",
        ),
        ({"user": "reader", "auth_password": "env:LAB_READER"}, "may only read"),
        ({"community": "env:LAB_LOOK"}, "may only read"),
    ],
)
async def test_who_may_not_is_told_why(tmp_path: Path, access: dict[str, object], words: str) -> None:
    """A wrong user, password or level, and one that may only read, each has its own sentence."""
    async with snmpd(tmp_path, *objects()) as port:
        with pytest.raises((EquipmentRefused, UnknownPort, DriverTimeout), match=words) as caught:
            await _pdu(port, "raritan", **access).set(_ON)
    assert not any(secret in str(caught.value) for secret in SECRETS.values() if len(secret) > 5)


async def test_the_whole_panel_of_every_make_and_access(tmp_path: Path) -> None:
    """All outlets are told at once, by the name a wire has, and by every version of the protocol."""
    async with snmpd(tmp_path, *objects()) as port:
        tables = [{"model": make, **ACCESS["v2c"]} for make in MAKES]
        tables += [{"model": "raritan", **access} for access in ACCESS.values()]
        for table in tables:
            panel = await SnmpPdu.panel({"host": f"127.0.0.1:{port}", "timeout": 0.5, **table})
            one = PowerReading(_OFF, None, (await _pdu(port, **table).get()).detail)  # type: ignore[arg-type]
            assert panel.ends == (({"outlet": 5}, one),), table


async def test_an_outlet_the_pdu_does_not_have(tmp_path: Path) -> None:
    """A wrong outlet or model is told as such in both protocol generations."""
    async with snmpd(tmp_path, *objects()) as port:
        for access in (ACCESS["v1"], ACCESS["v2c"]):
            with pytest.raises(UnknownPort, match=r"outlet|object"):
                await _pdu(port, "apc-rpdu2", 9, **access).get()
        with pytest.raises(DriverError):
            await _pdu(port, "apc-rpdu2", 9).set(_ON)


async def test_a_value_nobody_knows_is_unknown(tmp_path: Path) -> None:
    """A status without a meaning is never taken for off."""
    status = MAKES["servertech"][2]
    async with snmpd(tmp_path, {status: 77}, {}) as port:
        reading = await _pdu(port, "servertech").get()
    assert (reading.state, reading.detail) == (PowerState.UNKNOWN, "status 77")


async def test_a_pdu_that_no_row_describes(tmp_path: Path) -> None:
    """Object ids and numbers in the lab's file are enough, a chained unit's whole index included."""
    values = {"1.3.6.1.4.1.99.2.3.5": 20}
    effects = {"1.3.6.1.4.1.99.1.3.5": {1: {"1.3.6.1.4.1.99.2.3.5": 10}, 0: {"1.3.6.1.4.1.99.2.3.5": 20}}}
    described = {"control": "1.3.6.1.4.1.99.1", "status": ".1.3.6.1.4.1.99.2", "on": 1, "off": 0}
    async with snmpd(tmp_path, values, effects) as port:
        pdu = _pdu(port, "generic", "3.5", reads_on=10, reads_off=20, **described)
        await pdu.set(_ON)
        assert (await pdu.get()).state is _ON
        await pdu.set(_OFF)
        assert (await pdu.get()).state is _OFF


@pytest.mark.parametrize(
    ("equipment", "outlet", "key"),
    [
        ({"model": "apc"}, 1, "model"),
        ({"model": "raritan"}, 0, "outlet"),
        ({"model": "raritan"}, "1.2.3", "outlet"),
        ({"model": "raritan"}, "one", "outlet"),
        ({"model": "raritan", "control": "1.3"}, 1, "control"),
        ({"model": "generic"}, 1, "control"),
        ({"model": "generic", "control": "1.3", "status": "x", "on": 1, "off": 0}, 1, "status"),
        ({"model": "generic", "control": "1.3", "status": "1.3", "on": 1, "off": 1}, 1, "off"),
        ({"model": "raritan", "version": "2"}, 1, "version"),
        ({"model": "raritan", "user": "u"}, 1, "community"),
        ({"model": "raritan", "auth": "sha"}, 1, "auth"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], outlet: object, key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        SnmpPdu.from_config({"host": "pdu", "community": "env:X", **equipment}, {"outlet": outlet})
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("access", "key"),
    [
        ({"version": "3"}, "user"),
        ({"user": "u", "auth": "sha3", "auth_password": "env:X"}, "auth"),
        ({"user": "u", "auth_password": "secret"}, "auth_password"),
        ({"user": "u", "privacy_password": "env:X"}, "auth_password"),
        ({"user": "u", "auth_password": "env:X", "privacy": "aes"}, "privacy_password"),
    ],
)
def test_a_wrong_user_is_named(access: dict[str, object], key: str) -> None:
    """So is every mistake about SNMP v3."""
    with pytest.raises(DriverConfigError) as caught:
        power_driver("snmp-poe", {"host": "switch", **access}, {"port": 1})
    assert caught.value.key == key


async def test_a_password_too_short_for_snmp() -> None:
    """SNMP v3 forbids short passwords; said by its key, not by the agent's silence."""
    with pytest.raises(DriverConfigError, match="8 characters"):
        await _pdu(9, "raritan", user="signed", auth_password="env:LAB_SHORT").get()
