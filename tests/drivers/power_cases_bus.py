"""Relays behind a broker or a field bus."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modbus_card import modbus_card
from power_case import PowerCase

from hostler.drivers.registry import power_driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.drivers.power.protocol import PowerDriver


@asynccontextmanager
async def _modbus_coil() -> AsyncIterator[PowerDriver]:
    async with modbus_card() as host:
        yield power_driver("modbus-coil", {"host": host}, {"coil": 3})


CASES = {"modbus-coil": PowerCase(_modbus_coil, {"host": "card"}, {"coil": 0})}
