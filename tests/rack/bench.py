"""A rack over fake supplies and consoles, and boards whose wires go wherever a test says."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.drivers.console.fake import FakeConsole
from hostler.drivers.power.fake import FakePower
from hostler.images.store import ImageStore
from hostler.link.documents import to_document
from hostler.link.inprocess import InProcessLink
from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.power import PowerState
from hostler.model.seam import Desired
from hostler.model.trace import TraceEvent
from hostler.rack.rack import Rack
from hostler.rack.store import RackStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

REASON = "being checked by admin"


def mac(name: str) -> str:
    return f"52:54:00:00:00:{ord(name[-1]):02x}"


@dataclass
class RealBoard:
    """What is really there.

    Attributes:
        powered_by: The board in lab.toml whose power wire feeds it.
        heard_on: The board in lab.toml whose console wire it speaks on; None: its line is dead.
        boots: Whether it asks the network.
        mac: What it asks with.
        says: What it says on its line.
    """

    powered_by: str
    heard_on: str | None
    boots: bool = True
    mac: str = ""
    says: bytes = b"firmware 1.0\r\n"


@dataclass
class Bench:
    """The rack, and the boards that are really there."""

    link: InProcessLink
    rack: Rack
    boards: dict[str, RealBoard] = field(default_factory=dict)
    lifecycle: Lifecycle = Lifecycle.MAINTENANCE

    def supply(self, name: str) -> FakePower:
        outlet = self.rack.keepers()[name].power._outlets[0].driver  # type: ignore[union-attr]
        assert isinstance(outlet, FakePower)
        return outlet

    def line(self, name: str) -> FakeConsole:
        console = self.rack.console_of(name)
        assert console is not None
        assert isinstance(console.driver, FakeConsole)
        return console.driver

    async def want(
        self, name: str, lifecycle: Lifecycle = Lifecycle.MAINTENANCE, reason: str = REASON
    ) -> None:
        board = Board(name, "pc", "boot", (mac(name),), power=(Binding("fake"),), console=Binding("fake"))
        desired = Desired(board, "x86-bios", lifecycle, reason=reason)
        await self.link.desire(f"board/{name}", to_document(desired))

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while set(self.rack.keepers()) != set(self.boards) or not all(
                self.rack.console_of(name).connected
                for name in self.boards  # type: ignore[union-attr]
            ):
                await asyncio.sleep(0.01)

    async def live(self) -> None:
        """Let the boards boot whenever they get power."""
        on: set[str] = set()
        while True:
            for name, real in self.boards.items():
                fed = real.powered_by in self.rack.keepers() and (
                    self.supply(real.powered_by).state is PowerState.ON
                )
                if fed and name not in on:
                    if real.heard_on is not None:
                        self.line(real.heard_on).say(real.says)
                    if real.boots:
                        asks = TraceEvent(
                            time.time(), "dhcp", "discover", "asks", name, real.mac or mac(name)
                        )
                        self.rack._heard(asks)
                on = on | {name} if fed else on - {name}
            await asyncio.sleep(0.02)

    async def check(self, name: str, **body: object) -> dict:
        asked = {"board": name, "check": "k1", "lifecycle": "maintenance", "reason": REASON, "seconds": 1.0}
        return await self.link.request("active-check", {**asked, **body}, deadline=60)  # type: ignore[dict-item]


@asynccontextmanager
async def bench(place: Path, **boards: RealBoard) -> AsyncIterator[Bench]:
    """Run a rack with these boards, all standing by for a check."""
    link = InProcessLink(place / "link.db")
    store = RackStore(place / "rack.db")
    rack = Rack(link, store, ImageStore(place / "images"), place)
    made = Bench(link, rack, boards)
    tasks = [asyncio.ensure_future(rack.run())]
    try:
        for name in boards:
            await made.want(name)
        await made.ready()
        tasks.append(asyncio.ensure_future(made.live()))
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        store.close()
        await link.close()
