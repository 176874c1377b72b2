"""The ends that wires hang on: in words, which are taken, and on which port a switch hears a machine."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.drivers.network.protocol import NetworkDriver, SwitchPort
    from hostler.model.board import Binding, Equipment
    from hostler.model.seam import RackPlan

_POLL_SECONDS = 0.5


def wire_text(bindings: Iterable[Binding]) -> str:
    """Return wires in words: ``port 3 of switch1``."""
    return " and ".join(_one_wire(binding) for binding in bindings) or "no wire"


def _one_wire(binding: Binding) -> str:
    ends = " ".join(f"{key} {value}" for key, value in sorted(binding.params.items()))
    if binding.equipment is not None:
        return f"{ends} of {binding.equipment}" if ends else binding.equipment
    return f"{binding.driver} {ends}".strip()


def equipment_of(plan: RackPlan, name: str | None) -> Equipment | None:
    """Return an equipment by its name, or None."""
    return next((unit for unit in plan.equipment if unit.name == name), None)


async def find_port(switch: NetworkDriver, macs: Iterable[str], seconds: float) -> SwitchPort | None:
    """Return the port on which a switch hears the first of these MACs that it knows.

    Args:
        switch: Whom to ask.
        macs: All MACs of one machine.
        seconds: How long the switch may take to tell what it has learned.

    Raises:
        DriverError: The switch cannot be asked.
    """
    wanted = tuple(macs)
    end = time.monotonic() + seconds
    while True:
        for mac in wanted:
            place = await switch.find(mac)
            if place is not None:
                return place
        if time.monotonic() > end:
            return None
        await asyncio.sleep(_POLL_SECONDS)
