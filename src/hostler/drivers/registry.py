"""Drivers by name: found through entry points, loaded when first asked for."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from hostler.drivers.errors import DriverConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.drivers.bootctl.protocol import BootctlDriver, BootctlDriverClass
    from hostler.drivers.console.protocol import ConsoleDriver, ConsoleDriverClass
    from hostler.drivers.network.protocol import NetworkDriver, NetworkDriverClass
    from hostler.drivers.power.protocol import PowerDriver, PowerDriverClass

POWER = "hostler.power"
CONSOLE = "hostler.console"
BOOTCTL = "hostler.bootctl"
NETWORK = "hostler.network"
"""Named like the power driver of the same equipment: one table describes the switch."""


def driver_names(group: str) -> list[str]:
    """Return the names of the drivers installed in an entry point group, sorted."""
    return sorted({entry.name for entry in entry_points(group=group)})


def driver_class(group: str, name: str) -> object:
    """Return the class behind a driver's name.

    Raises:
        DriverConfigError: When no driver of that name is installed; lists those that are. Key ``driver``.
    """
    for entry in entry_points(group=group, name=name):
        return cast("object", entry.load())
    known = ", ".join(driver_names(group)) or "none"
    raise DriverConfigError(
        "driver", f'there is no {group.removeprefix("hostler.")} driver "{name}"; known: {known}'
    )


def power_driver(name: str, equipment: Mapping[str, object], binding: Mapping[str, object]) -> PowerDriver:
    """Make the power driver of one board from its equipment's and its binding's tables.

    Raises:
        DriverConfigError: Unknown driver, or a wrong key in one of the tables.
    """
    return cast("PowerDriverClass", driver_class(POWER, name)).from_config(equipment, binding)


def console_driver(
    name: str, equipment: Mapping[str, object], binding: Mapping[str, object]
) -> ConsoleDriver:
    """Make the console driver of one board from its equipment's and its binding's tables.

    Raises:
        DriverConfigError: Unknown driver, or a wrong key in one of the tables.
    """
    return cast("ConsoleDriverClass", driver_class(CONSOLE, name)).from_config(equipment, binding)


def bootctl_driver(
    name: str, equipment: Mapping[str, object], binding: Mapping[str, object]
) -> BootctlDriver:
    """Make one boot control of one board from its equipment's and its binding's tables.

    Raises:
        DriverConfigError: Unknown driver, or a wrong key in one of the tables.
    """
    return cast("BootctlDriverClass", driver_class(BOOTCTL, name)).from_config(equipment, binding)


def network_driver(name: str, equipment: Mapping[str, object]) -> NetworkDriver | None:
    """Make what asks an equipment where a machine is plugged in; None when this kind cannot be asked.

    Raises:
        DriverConfigError: A wrong key in the table.
    """
    if name not in driver_names(NETWORK):
        return None
    return cast("NetworkDriverClass", driver_class(NETWORK, name)).from_equipment(equipment)
