"""How a rack brings up installers and live systems: what it hears of netboot, and what it answers."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.boot import BootIntent
from hostler.model.keeper_view import Memory, View
from hostler.model.netboot_order import DoneSignal, NetbootOrder
from hostler.model.plan import StepKind, StepOrder
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import Phase, RunOrder, RunState, RunStatus
from hostler.model.seam import BootRecord, Desired
from hostler.model.trace import TraceEvent
from hostler.rack.agents import AgentReports
from hostler.rack.captures import Captures
from hostler.rack.handover import Handover, Sign
from hostler.rack.keeper import Keeper
from hostler.rack.targets import artefacts, target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BOARD = Board("b1", "pc", "boot", ("52:54:00:00:00:01",), power=(Binding("fake"),))
ORDER = NetbootOrder("installer", "k", "i", "auto", {"squashfs": "s"}, {"preseed.cfg": "x"})
BOOT = StepOrder(StepKind.BOOT, {"pattern": "login:", "seconds": 60.0})


def step(**changes: Any) -> StepOrder:
    values = {name: getattr(ORDER, name) for name in ORDER.__dataclass_fields__} | changes
    return StepOrder(StepKind.INSTALL, {"image": "installer", "netboot": NetbootOrder(**values).to_json()})


def desired(*steps: StepOrder, **changes: Any) -> Desired:
    order = RunOrder("r1", steps)
    return Desired(BOARD, "x86-bios", Lifecycle.CLAIMED, "c1", PowerState.ON, run=order, **changes)


def at(phase: Phase, number: int = 0, **changes: Any) -> View:
    """A board whose installer's boot is the present one."""
    status = RunStatus("r1", RunState.RUNNING, number, phase, boot="x1")
    boot = BootRecord("x1", 1, 0.0, "network", powered=True, token="t")
    return View(desired(step(**changes), BOOT), Memory(status, boot))


def seen(source: str, kind: str, boot: str = "x1", **data: Any) -> TraceEvent:
    return TraceEvent(time.time(), source, kind, "", "b1", boot=boot, data=data)


ASKS = seen("dhcp", "discover", firmware="pxe")
KERNEL, INITRD = seen("http", "done", file="kernel"), seen("http", "done", file="initrd")


@pytest.mark.parametrize(
    ("events", "initrd"),
    [
        ([KERNEL, INITRD], "i"),
        ([seen("tftp", "done", file="boot/initrd"), seen("tftp", "done", file="boot/kernel")], "i"),
        ([seen("tftp", "done", file="9a1b2c3d/kernel8.img"), seen("tftp", "done", file="initrd.img")], "i"),
        ([seen("http", "done", file="uki.efi")], "i"),
        ([KERNEL], ""),
    ],
)
def test_a_system_is_handed_out_when_its_last_part_is(events: list[TraceEvent], initrd: str):
    """Whichever loader fetches it, in whichever order; not before."""
    handover = Handover()
    signs = [handover.note(event, at(Phase.BOOTING, initrd=initrd)) for event in (ASKS, *events)]
    assert signs == [None] * len(events) + [Sign.HANDED]


@pytest.mark.parametrize(
    "between",
    [
        seen("http", "aborted", file="initrd"),
        seen("http", "get", file="initrd"),
        seen("http", "done", file="squashfs"),
        seen("http", "done", boot="x0", file="initrd"),
        seen("tftp", "timeout", file="boot/initrd"),
        seen("dhcp", "discover", firmware="system"),
    ],
)
def test_what_is_not_all_of_it_is_no_hand_out(between: TraceEvent):
    """A transfer that broke off, another file, another boot, a system's own DHCP client count for nothing."""
    handover = Handover()
    assert [handover.note(event, at(Phase.BOOTING)) for event in (ASKS, KERNEL, between)] == [None] * 3
    assert handover.note(INITRD, at(Phase.BOOTING)) is Sign.HANDED


def test_parts_fetched_before_a_restart_do_not_count_after_it():
    """A board that was reset between kernel and initramfs has to fetch both again."""
    handover = Handover()
    events = (ASKS, KERNEL, ASKS, INITRD)
    assert [handover.note(event, at(Phase.BOOTING)) for event in events] == [None] * 4


@pytest.mark.parametrize(
    ("event", "sign"),
    [
        (ASKS, Sign.RETURNED),
        (seen("http", "get", file="ipxe"), Sign.RETURNED),
        (seen("dhcp", "discover", firmware="system"), None),
        (seen("http", "get", file="preseed.cfg"), None),
    ],
)
def test_only_firmware_that_asks_again_is_a_restart(event: TraceEvent, sign: Sign | None):
    """An installer's own DHCP client and its downloads are not; a killed keeper still knows what ran."""
    assert Handover().note(event, at(Phase.EXECUTING)) is sign


def test_netboot_is_told_of_the_system_and_its_files_are_on_the_rack():
    """The target carries the order, and everything it names is looked for before the board is touched."""
    made = target(at(Phase.BOOTING), {"amd64": {"kernel": "ak", "initrd": "ai"}})
    assert (made.intent, made.netboot) == (BootIntent.STEP, ORDER)
    assert type(made).from_json(made.to_json()) == made
    assert artefacts(at(Phase.BOOTING)) == ("k", "i", "s")


@pytest.mark.parametrize(("phase", "boot"), [(Phase.PREPARING, "x0"), (Phase.POWERING, None)])
def test_before_its_boot_begins_a_board_is_told_nothing_of_the_system(phase: Phase, boot: str | None):
    """What asks then is what ran before: its texts may be another person's, with a password in them."""
    before = at(phase)
    run = replace(before.memory.run, boot=boot) if before.memory.run else None
    made = target(replace(before, memory=replace(before.memory, run=run)), {"amd64": {"kernel": "k"}})
    assert (made.intent, made.netboot) == (BootIntent.HOLD, None)


def test_a_system_needs_no_agent():
    """A lab without any agent can run installers; a lab without one cannot wipe."""
    assert target(at(Phase.BOOTING), {}).intent is BootIntent.STEP


def test_after_the_step_netboot_knows_nothing_of_the_system():
    """What is done is not fetched again."""
    made = target(at(Phase.PREPARING, 1), {})
    assert (made.intent, made.netboot) == (BootIntent.LOCAL, None)


class Supply:
    """A supply that does as it is told."""

    state = PowerState.OFF

    async def set(self, state: PowerState, _told: Callable[[str], None]) -> tuple[PowerReading, float]:
        self.state = state
        return PowerReading(state), 0.0

    async def get(self) -> PowerReading:
        return PowerReading(self.state)


class Port:
    """Takes what the keeper tells, slowly enough for a report to come in between."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.kinds: list[str] = []

    async def keep(self, _board: str, memory: Memory) -> None:
        await asyncio.sleep(0.01)
        self.memory = memory

    async def tell(self, _observed: object) -> None: ...

    def trace(self, event: TraceEvent) -> None:
        self.kinds.append(event.kind)

    def answer(self, view: View) -> None: ...

    def missing(self, _view: View) -> tuple[str, ...]:
        return ()


class Lab:
    """A keeper, its board's firmware as netboot sees it, and the door its system speaks through."""

    def __init__(self, *steps: StepOrder) -> None:
        self.port = Port()
        self.keeper = Keeper(desired(*steps), Memory(), self.port, Supply(), None)  # type: ignore[arg-type]
        nowhere = Captures(None, set)  # type: ignore[arg-type] - these systems are not captured
        self.reports = AgentReports(lambda _name: self.keeper, nowhere)

    @property
    def run(self) -> RunStatus:
        run = self.keeper.view.memory.run
        assert run is not None
        return run

    async def until(self, phase: Phase, number: int = 0) -> str:
        async with asyncio.timeout(60):
            while self.keeper.view.memory.run is None or (self.run.step, self.run.phase) != (number, phase):
                await asyncio.sleep(0.005)
        assert self.keeper.view.memory.boot is not None
        return self.keeper.view.memory.boot.id

    async def ended(self) -> RunStatus:
        async with asyncio.timeout(60):
            while not self.run.state.ended:
                await asyncio.sleep(0.005)
        return self.run

    async def fetches(self) -> str:
        """Have the firmware fetch the system; returns the boot's id."""
        boot = await self.until(Phase.BOOTING)
        for event in (ASKS, KERNEL, INITRD):
            self.keeper.heard(seen(event.source, event.kind, boot, **event.data))
        return await self.until(Phase.EXECUTING)

    def restarts(self, boot: str) -> None:
        self.keeper.heard(seen("dhcp", "discover", boot, firmware="pxe"))


@asynccontextmanager
async def lab(*steps: StepOrder) -> AsyncIterator[Lab]:
    made = Lab(*steps)
    task = asyncio.create_task(made.keeper.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_callback_ends_the_step_once():
    """Said again, it is taken for the same; what it said is in the run's result."""
    async with lab(step()) as made:
        boot = await made.fetches()
        said = {"body": {"kernel": "6.1"}}
        assert await made.reports.report("system-done", "b1", boot, said) == 204
        assert (await made.ended()).state is RunState.SUCCEEDED
        assert made.run.results[0]["body"] == {"kernel": "6.1"}
        assert await made.reports.report("system-done", "b1", boot, said) == 204
        assert made.port.kinds.count("done") == 1


async def test_a_callback_that_comes_while_the_hand_out_is_being_stored_is_not_lost():
    """What was decided before it came is decided again."""
    async with lab(step()) as made:
        boot = await made.until(Phase.BOOTING)
        for event in (ASKS, KERNEL, INITRD):
            made.keeper.heard(seen(event.source, event.kind, boot, **event.data))
        await asyncio.sleep(0)  # the keeper stores that it runs now
        assert await made.reports.report("system-done", "b1", boot, {}) == 204
        assert (await made.ended()).state is RunState.SUCCEEDED


async def test_a_failure_ends_the_run_with_the_systems_words():
    """The last line is the error, all of them the log."""
    async with lab(step()) as made:
        boot = await made.fetches()
        said = {"body": "partitioning\nno disk is large enough"}
        assert await made.reports.report("system-fail", "b1", boot, said) == 204
        run = await made.ended()
        assert (run.state, run.error) == (RunState.FAILED, "no disk is large enough")
        assert run.log == ("partitioning", "no disk is large enough")


async def test_a_live_systems_token_is_not_an_agents():
    """Whoever has a shell there reads it; what the board is and how it goes is for agents to say."""
    async with lab(step()) as made:
        boot = await made.fetches()
        made.reports.seen("b1", boot, time.time())
        for kind, body in (("hello", {"facts": {"dmi": {"serial": "forged"}}}), ("done", {})):
            assert await made.reports.report(kind, "b1", boot, body) == 403
        assert made.keeper.observed().facts == {}
        assert made.keeper.view.seen.agent_boot is None


async def test_a_callback_nobody_waits_for_is_refused():
    """A system whose step is over without its word, or another boot's, hears so."""
    async with lab(step(done=DoneSignal.CALLBACK)) as made:
        boot = await made.fetches()
        assert await made.reports.report("system-done", "b1", "x0", {}) == 403
        made.keeper.desire(desired())
        await made.ended()
        assert await made.reports.report("system-done", "b1", boot, {}) == 409


async def test_an_image_that_is_done_when_it_restarts_is_not_done_before():
    """Its word is kept for the result; its restart ends the step, and power is not cut."""
    async with lab(step(done=DoneSignal.SECOND_BOOT), BOOT) as made:
        boot = await made.fetches()
        assert await made.reports.report("system-done", "b1", boot, {"body": "fine"}) == 204
        await asyncio.sleep(0.05)
        assert made.run.step == 0
        made.restarts(boot)
        assert await made.until(Phase.BOOTING, 1) != boot
        assert made.run.results[0]["body"] == "fine"
        assert made.port.kinds.count("off") == 1


@pytest.mark.parametrize("facts", [[[1, 2]], {"dmi": [["serial", "x"]]}, "facts", 7])
async def test_an_agents_facts_are_an_object(facts: Any):
    """Anything else is refused, and the board keeps the facts it had."""
    async with lab(StepOrder(StepKind.DISCOVER, {}, 60.0)) as made:
        boot = await made.until(Phase.BOOTING)
        assert await made.reports.report("hello", "b1", boot, {"facts": {"cpus": 4}}) == 204
        assert await made.reports.report("hello", "b1", boot, {"facts": facts}) == 400
        assert made.keeper.observed().facts == {"cpus": 4}
