"""The fake, and PoE over SNMP against the virtual switch."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lamps import Lamp, poe_switch
from power_case import PowerCase

from hostler.drivers.registry import power_driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.drivers.power.protocol import PowerDriver


@asynccontextmanager
async def _fake() -> AsyncIterator[PowerDriver]:
    yield power_driver("fake", {}, {"outlet": "a"})


@asynccontextmanager
async def _snmp_poe() -> AsyncIterator[PowerDriver]:
    async with poe_switch({1: Lamp()}) as port:
        yield power_driver(
            "snmp-poe", {"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY"}, {"port": 1}
        )


CASES = {
    "fake": PowerCase(_fake, {}, {}),
    "snmp-poe": PowerCase(_snmp_poe, {"host": "switch", "community": "file:/nowhere"}, {"port": 1}),
}
