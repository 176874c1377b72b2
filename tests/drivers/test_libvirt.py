"""Virtual machines through virsh and libvirt's test hypervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from libvirt_host import URI, virsh

from hostler.drivers.errors import DriverConfigError, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.libvirt import Libvirt
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_virsh_says_is_told(tmp_path: Path) -> None:
    """The domain is pulled and started; doing so twice is no error."""
    with virsh(tmp_path):
        machine = Libvirt.from_config({"uri": URI}, {"domain": "test"})
        assert (await machine.get()).detail == "running"
        for _ in range(2):
            await machine.set(PowerState.OFF)
        reading = await machine.get()
        assert (reading.state, reading.detail) == (PowerState.OFF, "shut off")
        for _ in range(2):
            await machine.set(PowerState.ON)
        assert (await machine.get()).state is PowerState.ON


async def test_no_such_domain(tmp_path: Path) -> None:
    """The binding is blamed."""
    with virsh(tmp_path):
        machine = Libvirt.from_config({"uri": URI}, {"domain": "nope"})
        with pytest.raises(UnknownPort, match="nope"):
            await machine.get()
        with pytest.raises(UnknownPort, match="nope"):
            await machine.set(PowerState.ON)


async def test_no_hypervisor(tmp_path: Path) -> None:
    """Nothing at the uri is unreachable, not off."""
    uri = f"test+unix:///default?socket={tmp_path}/none"
    with pytest.raises(EquipmentUnreachable, match="uri"):
        await Libvirt.from_config({"uri": uri}, {"domain": "test"}).get()


@pytest.mark.parametrize("domain", ["", "--version", None, 3])
def test_a_name_that_is_none(domain: object) -> None:
    """A domain is a name, and never an option of virsh."""
    with pytest.raises(DriverConfigError) as caught:
        Libvirt.from_config({}, {"domain": domain})
    assert caught.value.key == "domain"
