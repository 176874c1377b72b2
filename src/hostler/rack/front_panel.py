"""What an equipment says of all its ends at once: for pictures of switches and PDUs.

Only equipment that tells of everything in a few questions is asked. Of any other the boards' own readings are
all there is: to log in to a switch anew for each of its ports would keep it from its work.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hostler.drivers.errors import DriverError
from hostler.drivers.power.protocol import PanelReading, ReadsPanel
from hostler.drivers.registry import POWER, driver_class, driver_names, network_driver
from hostler.link.port import RequestRefusedError

if TYPE_CHECKING:
    from hostler.drivers.network.protocol import PortPicture
    from hostler.model.board import Equipment
    from hostler.model.json import Document
    from hostler.model.power import PowerReading
    from hostler.rack.wires import Wires

PANEL_SECONDS = 25.0
"""Longest time one picture may take: what was not read by then is told as such."""


async def read_panel(unit: Equipment | None, wires: Wires) -> Document:
    """Read every end of an equipment; nothing is switched.

    Args:
        unit: The equipment; None: there is none of that name.
        wires: Has the queue in which whoever switches it waits.

    Returns:
        ``{"asked", "ends": [{"params", "state", "watts", "detail"}], "pools": [{"pool", "limit", "drawn"}],
        "ports": [{"number", "up", "spanning_tree", "pvid", "tagged", "macs"}], "trouble"}``; ``asked`` is
        False when it is not of a kind that can be asked, and ``trouble`` is why something is missing.
    """
    if unit is None:
        raise RequestRefusedError("this rack has no equipment of that name")
    trouble = ""
    asked = False
    panel = PanelReading(())
    ports: list[PortPicture] = []
    try:
        async with asyncio.timeout(PANEL_SECONDS):
            kind = driver_class(POWER, unit.driver) if unit.driver in driver_names(POWER) else None
            switch = network_driver(unit.driver, unit.params)
            asked = isinstance(kind, ReadsPanel) or switch is not None
            if isinstance(kind, ReadsPanel):
                panel = await wires.panel(unit, kind)
            if switch is not None:
                ports = await switch.ports()
    except TimeoutError:
        trouble = f"{unit.name} has not told everything within {PANEL_SECONDS:g} s"
    except DriverError as error:
        trouble = str(error)
    return {
        "asked": asked,
        "ends": [_end(*end) for end in panel.ends],
        "pools": [
            {"pool": name, "limit": pool.limit, "drawn": pool.drawn} for name, pool in panel.pools.items()
        ],
        "ports": [_port(port) for port in ports],
        "trouble": trouble,
    }


def _end(params: dict[str, Any], reading: PowerReading) -> Document:
    return {
        "params": params, "state": reading.state.value, "watts": reading.watts, "detail": reading.detail
    }  # fmt: skip


def _port(port: PortPicture) -> Document:
    return {
        "number": port.number, "up": port.up, "spanning_tree": port.spanning_tree, "pvid": port.pvid,
        "tagged": list(port.tagged), "macs": list(port.macs),
    }  # fmt: skip
