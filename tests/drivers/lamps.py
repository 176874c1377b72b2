"""Something small to hang on a port of the virtual switch."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hostler.virtual.switch import Load, PoeSwitch, SnmpAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Lamp(Load):
    """Burns while it is fed, unless it is broken; a stuck one goes on burning."""

    def __init__(self, *, broken: bool = False, stuck: bool = False) -> None:
        self.fed = False
        self.broken = broken
        self.stuck = stuck

    @property
    def description(self) -> str:
        return "lamp"

    def supply(self, on: bool) -> None:
        self.fed = on

    def drawing(self) -> bool:
        return (self.fed and not self.broken) or self.stuck

    def fault(self) -> str:
        return "broken" if self.broken else ""


@asynccontextmanager
async def poe_switch(loads: Mapping[int, Load], community: str = "test") -> AsyncIterator[int]:
    """Run a virtual switch with four ports; yields the UDP port of its agent."""
    transport, _agent = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: SnmpAgent(PoeSwitch(4, loads), community), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
