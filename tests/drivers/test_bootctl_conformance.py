"""Rules every boot control keeps, run over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bootctl_cases import CASES

from hostler.drivers.bootctl.protocol import BootOverride, BootTakeover, BootTool, CanLook
from hostler.drivers.errors import DriverConfigError
from hostler.drivers.registry import BOOTCTL, bootctl_driver, driver_names
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    **{name: (case.equipment, case.binding) for name, case in CASES.items()},
    "agent": ({}, {}),
    "tool": ({}, {"run": ["rpiboot", "-d", "/srv/loader"]}),
    "uboot-console": ({}, {"commands": ["dhcp", "pxe get", "pxe boot"]}),
}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")


def test_every_installed_driver_is_held_to_these_rules() -> None:
    """A driver that is installed but not tested here is a driver nobody promises anything about."""
    assert driver_names(BOOTCTL) == sorted(TABLES)


@pytest.mark.parametrize("name", sorted(CASES))
async def test_the_firmware_is_really_told_and_told_again_without_harm(name: str) -> None:
    """What the driver says it did is what its peer says it was told, in any order and twice."""
    case = CASES[name]
    async with case.make() as (driver, told):
        for target in (BootTarget.NETWORK, BootTarget.NETWORK, BootTarget.DISK, BootTarget.NETWORK):
            assert await driver.direct(target)
            assert await told() == (case.network if target is BootTarget.NETWORK else case.disk)
            if isinstance(driver, CanLook):
                assert await driver.look()
                assert await told() == (case.network if target is BootTarget.NETWORK else case.disk)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_driver_is_of_one_kind(name: str) -> None:
    """A boot control tells the firmware before power, or acts after it; making one opens nothing."""
    made = bootctl_driver(name, *TABLES[name])
    assert [isinstance(made, kind) for kind in (BootOverride, BootTakeover, BootTool)].count(True) == 1


@pytest.mark.parametrize("name", sorted(TABLES))
def test_an_unknown_key_is_an_error(name: str) -> None:
    """A typing error in either table is never taken for a default."""
    equipment, binding = TABLES[name]
    with pytest.raises(DriverConfigError, match="prot"):
        bootctl_driver(name, equipment, {**binding, "prot": 1})
    with pytest.raises(DriverConfigError, match="hots"):
        bootctl_driver(name, {**equipment, "hots": "x"}, binding)
