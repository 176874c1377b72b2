"""Power when switches hang, drop out, lie, or have too few watts: a rack against their real protocols."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from lamps import Lamp, poe_switch

from hostler.drivers.errors import DidNotHappen
from hostler.drivers.power.queue import EquipmentQueue
from hostler.drivers.power.switch_cli import SwitchCli
from hostler.drivers.power.switch_cli_fake import FakeSwitch
from hostler.images.store import ImageStore
from hostler.link.documents import from_document, to_document
from hostler.link.inprocess import InProcessLink
from hostler.model.board import Binding, Board, Equipment, Lifecycle
from hostler.model.plan import StepKind, StepOrder
from hostler.model.power import PowerState
from hostler.model.power_match import SETTLE_SECONDS
from hostler.model.run import Phase, RunOrder
from hostler.model.seam import Desired, Observed, RackPlan
from hostler.rack.rack import Rack
from hostler.rack.store import RackStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

ON, OFF = PowerState.ON, PowerState.OFF
Equipped = tuple[RackPlan, FakeSwitch, dict[int, Lamp]]


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")
    monkeypatch.setenv("LAB_COMMUNITY", "test")


def cli_table(host: str) -> dict[str, object]:
    return {
        "host": host, "dialect": "tp-link", "transport": "telnet", "user": "admin",
        "password": "env:LAB_PASSWORD", "timeout": 1, "min_off_seconds": 0,
    }  # fmt: skip


def board(name: str, equipment: str, port: int, watts: float | None = None) -> Board:
    driver = {"poe": "snmp-poe", "cli": "switch-cli"}[equipment]
    wire = Binding(driver, equipment, {"port": port})
    return Board(name, "pc", "boot", (f"52:54:00:00:00:{name[-2:]}",), power=(wire,), watts=watts)


class Bench:
    """A rack with a PoE switch spoken to over SNMP and one over telnet, and the hub's end of its link."""

    def __init__(self, link: InProcessLink, rack: Rack, cli: FakeSwitch, lamps: dict[int, Lamp]) -> None:
        self.link, self.rack, self.cli, self.lamps = link, rack, cli, lamps
        self.seen: dict[str, Observed] = {}
        self._news = asyncio.Event()

    async def follow(self) -> None:
        async for change in self.link.observed():
            if change.document is not None and change.key.startswith("board/"):
                observed = from_document(Observed, change.document)
                self.seen[observed.board] = observed
                self._news.set()

    async def want(self, made: Board, power: PowerState, **changes: object) -> None:
        desired = replace(Desired(made, "x86-bios", Lifecycle.CLAIMED, power=power), **changes)  # type: ignore[arg-type]
        await self.link.desire(f"board/{made.name}", to_document(desired))

    async def until(self, holds: Callable[[dict[str, Observed]], object], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while True:
                self._news.clear()
                try:
                    if holds(self.seen):
                        return
                except KeyError:
                    pass
                await self._news.wait()

    def later(self, name: str, seconds: float) -> None:
        """Move what a board's keeper remembers of times into the past: nobody likes to wait."""
        keeper = self.rack._kept[name].keeper
        seen, match = keeper.view.seen, keeper.view.seen.match
        match = replace(
            match,
            since=None if match.since is None else match.since - seconds,
            right=None if match.right is None else match.right - seconds,
            mended=match.mended - seconds,
        )
        keeper._live.see(match=match, power_tried=seen.power_tried - seconds)

    async def events(self, kind: str) -> list[str]:
        """Return the texts of the power events of one kind so far."""
        told: list[str] = []
        try:
            async with asyncio.timeout(0.3):
                async for _, document in self.link.events(0):
                    if (document["source"], document["kind"]) == ("power", kind):
                        told.append(str(document["text"]))
        except TimeoutError:
            return told
        return told


@asynccontextmanager
async def equipped(
    budget: float | None = None,
) -> AsyncIterator[Equipped]:
    """Run both switches."""
    cli, lamps = FakeSwitch("tp-link", "s3cret"), {port: Lamp() for port in (1, 2)}
    async with cli.telnet() as host, poe_switch(lamps) as port:
        snmp = {"host": f"127.0.0.1:{port}", "community": "env:LAB_COMMUNITY", "min_off_seconds": 0}
        equipment = (
            Equipment("cli", "switch-cli", cli_table(host)),
            Equipment("poe", "snmp-poe", snmp, budget_watts=budget, stagger=0.0),
        )
        yield RackPlan(equipment=equipment), cli, lamps


@asynccontextmanager
async def racked(
    place: Path, plan: RackPlan, cli: FakeSwitch, lamps: dict[int, Lamp]
) -> AsyncIterator[Bench]:
    """Run a rack over what is in ``place``."""
    link, store = InProcessLink(place / "link.db"), RackStore(place / "rack.db")
    rack = Rack(link, store, ImageStore(place / "images"), place)
    made = Bench(link, rack, cli, lamps)
    tasks = [asyncio.create_task(rack.run()), asyncio.create_task(made.follow())]
    await link.desire("rack", to_document(plan))
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        store.close()
        await link.close()


@asynccontextmanager
async def bench(place: Path, *, budget: float | None = None) -> AsyncIterator[Bench]:
    """Run it all; ends with the block."""
    async with equipped(budget) as (plan, cli, lamps), racked(place, plan, cli, lamps) as made:
        yield made


async def test_a_switch_that_hangs_delays_nobody_elses_board(tmp_path: Path) -> None:
    """Its board is told the deadline that passed; the board on another switch is on long before."""
    async with bench(tmp_path) as made:
        made.cli.misbehaviour = "hang"
        await made.want(board("b-01", "cli", 3), ON)
        await made.want(board("b-02", "poe", 1), ON)
        await made.until(lambda seen: seen["b-02"].power.state is ON)
        assert made.seen.get("b-01", Observed("")).power_error == ""
        await made.until(lambda seen: "not done within 1 s" in seen["b-01"].power_error)
        assert made.seen["b-01"].power.state is PowerState.UNKNOWN


async def test_a_session_that_is_dropped_in_mid_command_ends_in_the_right_state(tmp_path: Path) -> None:
    """The error is told, the command is given again, and the board comes on."""
    async with bench(tmp_path) as made:
        made.cli.misbehaviour = "drop"
        await made.want(board("b-01", "cli", 3), ON)
        await made.until(lambda seen: seen["b-01"].power_error)
        made.cli.misbehaviour = ""
        made.later("b-01", 10)
        await made.until(lambda seen: seen["b-01"].power.state is ON)
        assert [port for port, on in made.cli.powered.items() if on] == [3]
        assert made.seen["b-01"].power_error == ""


async def test_a_switch_that_says_on_and_delivers_nothing_is_told_of(tmp_path: Path) -> None:
    """A supply that reads otherwise for long is a mismatch, since when; and again none once it is mended."""
    async with bench(tmp_path) as made:
        await made.want(board("b-01", "cli", 3), ON)
        await made.until(lambda seen: seen["b-01"].power.state is ON)
        made.cli.misbehaviour = "overload"
        await made.until(lambda seen: seen["b-01"].power.state is OFF)
        noticed = time.time()
        assert made.seen["b-01"].power_mismatch is None
        made.later("b-01", SETTLE_SECONDS)
        await made.until(lambda seen: seen["b-01"].power_mismatch is not None)
        since = made.seen["b-01"].power_mismatch
        assert since is not None
        assert since <= noticed
        made.cli.misbehaviour = ""
        await made.until(lambda seen: seen["b-01"].power.state is ON)
        made.later("b-01", SETTLE_SECONDS)
        await made.until(lambda seen: seen["b-01"].power_mismatch is None)
        (mismatch,) = await made.events("mismatch")
        assert mismatch.startswith("the supply reads off (")
        assert mismatch.endswith("though it should be on")
        (matches,) = await made.events("matches")
        assert matches.startswith("the supply reads on")


@pytest.mark.parametrize("misbehaviour", ["neighbour", "lie"])
async def test_reading_back_catches_the_wrong_port_and_a_lie(misbehaviour: str) -> None:
    """Whatever a switch agreed to, the port that was meant is read, and that it is off is an error."""
    switch = FakeSwitch("tp-link", "s3cret")
    switch.misbehaviour = misbehaviour
    async with switch.telnet() as host:
        driver = SwitchCli.from_config(cli_table(host), {"port": 3})
        with pytest.raises(DidNotHappen, match="cli: agreed to switch on, but reads off"):
            await EquipmentQueue("cli").switch("b/0", driver, ON, seconds=1)


async def test_boards_come_on_within_the_budget_and_say_what_they_wait_for(tmp_path: Path) -> None:
    """The second waits for the first's watts, visibly, and comes on as soon as these are free."""
    async with bench(tmp_path, budget=20.0) as made:
        one, two = board("b-01", "poe", 1, 13.0), board("b-02", "poe", 2, 13.0)
        await made.want(one, ON)
        await made.want(two, OFF)
        await made.until(lambda seen: seen["b-01"].power.state is ON and seen["b-02"].power.state is OFF)
        await made.want(two, ON)
        await made.until(lambda seen: seen["b-02"].power_waits)
        assert made.seen["b-02"].power_waits == "waits for 13 W on poe: 13 of 20 W are taken by b-01"
        assert (made.seen["b-02"].power.state, made.lamps[2].fed) == (OFF, False)
        await made.want(one, OFF)
        await made.until(lambda seen: seen["b-02"].power.state is ON)
        assert made.seen["b-02"].power_waits == ""
        assert len(await made.events("waits")) == 1


async def test_who_does_not_want_on_any_more_waits_no_longer(tmp_path: Path) -> None:
    """A wish withdrawn while it waits gives its place up at once, and the next one has its turn."""
    async with bench(tmp_path, budget=20.0) as made:
        one, two = board("b-01", "poe", 1, 13.0), board("b-02", "poe", 2, 13.0)
        await made.want(one, ON)
        await made.want(two, OFF)
        await made.until(lambda seen: seen["b-01"].power.state is ON and seen["b-02"].power.state is OFF)
        await made.want(two, ON)
        await made.until(lambda seen: seen["b-02"].power_waits)
        await made.want(two, OFF)
        await made.until(lambda seen: not seen["b-02"].power_waits)
        assert made.rack.wires._queue("poe").turns.budget.line == ()
        await made.want(one, OFF)
        await made.until(lambda seen: seen["b-01"].power.state is OFF)
        assert not made.lamps[2].fed


async def test_a_run_waits_for_watts_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What was on before a restart counts by reading; the run that waited waits again and then boots."""
    run = RunOrder("r1", (StepOrder(StepKind.WIPE),))
    one, two = board("b-01", "poe", 1, 13.0), board("b-02", "poe", 2, 13.0)

    async def waits(made: Bench) -> None:
        await made.want(two, OFF, run=run)
        await made.until(lambda seen: "13 of 20 W are taken by b-01" in seen["b-02"].power_waits)
        status = made.seen["b-02"].run
        assert status is not None
        assert status.phase is Phase.POWERING
        assert (made.lamps[1].fed, made.lamps[2].fed) == (True, False)

    async with equipped(20.0) as (plan, cli, lamps):
        async with racked(tmp_path, plan, cli, lamps) as made:
            await made.want(one, ON)
            await made.until(lambda seen: seen["b-01"].power.state is ON)
            await waits(made)
        async with racked(tmp_path, plan, cli, lamps) as made:
            await made.want(one, ON)
            await waits(made)
            await made.want(one, OFF)
            await made.until(lambda seen: seen["b-02"].run.phase is Phase.BOOTING)
            assert lamps[2].fed
