"""IPMI against openipmi's simulator: who may, who may not, and nobody there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ipmi_bmc import ipmi_sim

from hostler.drivers.errors import DriverConfigError, DriverTimeout, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.ipmi import Ipmi
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path

ACCESS = {"user": "admin", "password": "env:LAB_PASSWORD", "cipher": 3}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")


async def test_the_chassis_really_changes(tmp_path: Path) -> None:
    """What the driver says is what the controller's chassis does, also when that changes behind our back."""
    async with ipmi_sim(tmp_path) as host:
        bmc = Ipmi.from_config({"host": host, **ACCESS}, {})
        await bmc.set(PowerState.ON)
        assert (tmp_path / "state").read_text().strip() == "1"
        reading = await bmc.get()
        assert (reading.state, reading.detail) == (PowerState.ON, "Chassis Power is on")
        (tmp_path / "state").write_text("0\n")
        assert (await bmc.get()).state is PowerState.OFF


async def test_servers_share_a_login_and_an_operator_may_switch(tmp_path: Path) -> None:
    """The binding names the controller; a user who is only an operator is let in as one."""
    async with ipmi_sim(tmp_path) as host:
        bmc = Ipmi.from_config({**ACCESS, "user": "hand", "privilege": "operator"}, {"host": host})
        await bmc.set(PowerState.ON)
        assert (await bmc.get()).state is PowerState.ON


async def test_who_may_only_look_is_refused(tmp_path: Path) -> None:
    """At the level of a mere user the chassis can be read and not switched."""
    async with ipmi_sim(tmp_path) as host:
        bmc = Ipmi.from_config({"host": host, **ACCESS, "privilege": "user"}, {})
        assert (await bmc.get()).state is PowerState.OFF
        with pytest.raises(EquipmentRefused, match="privilege"):
            await bmc.set(PowerState.ON)


async def test_a_wrong_password_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the reference; a controller does not say what is wrong."""
    monkeypatch.setenv("LAB_PASSWORD", "wrong-one")
    async with ipmi_sim(tmp_path) as host:
        with pytest.raises(EquipmentUnreachable, match="env:LAB_PASSWORD") as caught:
            await Ipmi.from_config({"host": host, **ACCESS}, {}).get()
    assert "wrong-one" not in str(caught.value)


async def test_nobody_there_costs_the_deadline() -> None:
    """An address where nothing answers ends in time."""
    bmc = Ipmi.from_config({"host": "127.0.0.1:9", **ACCESS, "timeout": 0.3}, {})
    with pytest.raises((DriverTimeout, EquipmentUnreachable)):
        await bmc.get()


async def test_without_ipmitool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing tool is named."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DriverConfigError, match="ipmitool"):
        await Ipmi.from_config({"host": "bmc", **ACCESS}, {}).get()


@pytest.mark.parametrize(
    ("equipment", "key"),
    [
        (ACCESS, "host"),
        ({"host": "b", "password": "env:X"}, "user"),
        ({"host": "b", "user": "u", "password": "secret"}, "password"),
        ({"host": "b", **ACCESS, "privilege": "root"}, "privilege"),
        ({"host": "b", **ACCESS, "cipher": 99}, "cipher"),
        ({"host": "b", **ACCESS, "interface": "open"}, "interface"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Ipmi.from_config(equipment, {})
    assert caught.value.key == key
