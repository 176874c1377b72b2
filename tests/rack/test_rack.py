"""A whole rack over fake supplies and consoles: what it is told it does, and what it did it remembers."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hostler.drivers.console.fake import FakeConsole
from hostler.images.store import ImageStore
from hostler.link.documents import from_document, to_document
from hostler.link.frames import BYTES, pack
from hostler.link.group_commit import StorageError
from hostler.link.inprocess import InProcessLink
from hostler.link.port import LinkError, RequestRefusedError
from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.plan import StepKind, StepOrder
from hostler.model.power import PowerState
from hostler.model.run import Phase, RunOrder, RunState
from hostler.model.seam import Desired, Observed
from hostler.model.trace import TraceEvent
from hostler.rack.rack import Rack
from hostler.rack.store import RackStore

BOARD = Board(
    "b1", "pc", "boot", ("52:54:00:00:00:01",), power=(Binding("fake"),), console=Binding("fake"),
    uuid="11111111-2222-3333-4444-555555555555",
)  # fmt: skip
WIPE = StepOrder(StepKind.WIPE)
BOOT = StepOrder(StepKind.BOOT, {"pattern": "login:", "seconds": 60.0})


def wanted(*steps: StepOrder, **changes) -> Desired:
    order = RunOrder("r1", steps) if steps else None
    return replace(Desired(BOARD, "x86-bios", Lifecycle.CLAIMED, "c1", PowerState.ON, run=order), **changes)


class Lab:
    """A rack and the hub's end of its link."""

    def __init__(self, link: InProcessLink, rack: Rack) -> None:
        self.link = link
        self.rack = rack

    async def want(self, desired: Desired) -> None:
        await self.link.desire("board/b1", to_document(desired))

    async def until(self, holds, seconds: float = 60) -> Observed:
        """Return the first observation of which this holds."""
        async with asyncio.timeout(seconds):
            async for change in self.link.observed():
                if change.key == "board/b1" and change.document is not None:
                    observed = from_document(Observed, change.document)
                    if holds(observed):
                        return observed
        raise AssertionError("the link ended")

    async def phase(self, phase: Phase, step: int = 0) -> Observed:
        return await self.until(lambda o: o.run is not None and (o.run.phase, o.run.step) == (phase, step))

    async def agent(self, kind: str, boot: str, **body) -> int:
        """Report as an agent does, which comes again while the rack is not ready."""
        for _ in range(100):
            status = await self.rack.reports.report(kind, "b1", boot, {"run": "r1", "step": 0, **body})
            if status != 503:
                return status
            await asyncio.sleep(0.05)
        raise AssertionError("the rack was never ready")


@asynccontextmanager
async def lab(place: Path):
    link = InProcessLink(place / "link.db")
    store = RackStore(place / "rack.db")
    rack = Rack(link, store, ImageStore(place / "images"), place)
    task = asyncio.create_task(rack.run())
    try:
        yield Lab(link, rack)
    finally:
        task.cancel()
        await asyncio.wait({task})
        store.close()
        await link.close()


async def test_power_follows_the_wish(tmp_path: Path):
    """What is desired comes to be, and is observed."""
    async with lab(tmp_path) as made:
        await made.want(wanted())
        await made.until(lambda o: o.power.state is PowerState.ON)
        await made.want(wanted(power=PowerState.OFF))
        await made.until(lambda o: o.power.state is PowerState.OFF)


async def test_what_was_read_on_a_wire_goes_with_the_wire(tmp_path: Path):
    """A board whose power wire was taken out of lab.toml is not shown as it was last seen."""
    async with lab(tmp_path) as made:
        await made.want(wanted())
        await made.until(lambda o: o.power.state is PowerState.ON)
        await made.want(wanted(board=replace(BOARD, power=())))
        await made.until(lambda o: o.power.state is PowerState.UNKNOWN, seconds=5)


async def test_a_run_ends_with_the_agents_result_and_survives_the_rack(tmp_path: Path):
    """A rack that is stopped in mid-step goes on with the same boot, and takes the report it missed."""
    outlet = Binding("fake", params={"file": str(tmp_path / "outlet")})
    async with lab(tmp_path) as made:
        await made.want(wanted(WIPE, board=replace(BOARD, power=(outlet,))))
        booting = await made.phase(Phase.BOOTING)
        boot = booting.boot.id
        assert await made.agent("hello", boot, facts={}) == 204
        await made.phase(Phase.EXECUTING)
    async with lab(tmp_path) as made:
        seen = await made.phase(Phase.EXECUTING)
        assert seen.boot.id == boot
        assert seen.boot.token == ""
        assert await made.agent("done", boot, result={"verified": True}) == 204
        assert await made.agent("done", boot, result={"verified": True}) == 204
        ended = await made.until(lambda o: o.run is not None and o.run.state.ended)
        assert ended.run.state is RunState.SUCCEEDED
        assert ended.run.results == ({"verified": True},)


async def test_only_the_agent_of_the_present_boot_is_heard(tmp_path: Path):
    """A report of another boot, of another step or without sense moves nothing."""
    async with lab(tmp_path) as made:
        await made.want(wanted(WIPE))
        boot = (await made.phase(Phase.BOOTING)).boot.id
        assert await made.agent("done", "b-old", result={}) == 403
        assert await made.agent("done", boot, result={}) == 409
        assert await made.agent("hello", boot, facts={}) == 204
        await made.phase(Phase.EXECUTING)
        assert await made.agent("done", boot, step=7, result={}) == 409
        assert await made.agent("done", boot, step="x", result={}) == 400
        assert await made.rack.reports.report("done", "nobody", boot, {}) == 503
        assert (await made.phase(Phase.EXECUTING)).run.state is RunState.RUNNING


async def test_an_agents_words_are_one_printable_line(tmp_path: Path):
    """Facts of any shape are refused or taken; what an agent says of a failure cannot speak to a terminal."""
    async with lab(tmp_path) as made:
        await made.want(wanted(WIPE))
        boot = (await made.phase(Phase.BOOTING)).boot.id
        for facts in ("x", 5, {"dmi": "x"}, {"dmi": 5}, {"dmi": {"uuid": [1], "serial": 2}}):
            assert await made.agent("hello", boot, facts=facts) in (204, 400)
        await made.phase(Phase.EXECUTING)
        assert await made.agent("fail", boot, error="no\x1b]0;x\x07\ndisk", log=["\x1b[31m\tred", 7]) == 204
        failed = (await made.until(lambda o: o.run is not None and o.run.state.ended)).run
        assert failed.error.isprintable()
        assert all(line.isprintable() for line in failed.log)
        assert "disk" in failed.error


async def test_the_cause_of_a_failure_and_crossed_consoles_are_told(tmp_path: Path):
    """What an agent calls the cause comes with its failure; another board's agent on a console is named."""
    async with lab(tmp_path) as made:
        await made.want(wanted(WIPE))
        boot = (await made.phase(Phase.BOOTING)).boot.id
        driver = made.rack.console_of("b1").driver
        assert isinstance(driver, FakeConsole)
        driver.say(
            b'@hostler {"event": "hello", "board": "b1"}\r\n@hostler {"event": "hello", "board": "b2"}\r\n'
        )
        assert await made.agent("hello", boot, facts={}) == 204
        await made.phase(Phase.EXECUTING)
        assert await made.agent("fail", boot, error="it is smaller", cause="image-too-large") == 204
        seen = {}
        async with asyncio.timeout(60):
            async for _, document in made.link.events(0):
                event = TraceEvent.from_json(document)
                seen[event.source, event.kind] = event.data
                if {("agent", "fail"), ("console", "other-board")} <= set(seen):
                    break
    assert seen["agent", "fail"]["cause"] == "image-too-large"
    assert seen["console", "other-board"] == {"other": "b2"}


async def test_a_swapped_board_is_a_conflict(tmp_path: Path):
    """An agent that reports another UUID than the inventory has contradicts it, and that is observed."""
    async with lab(tmp_path) as made:
        await made.want(wanted(WIPE))
        boot = (await made.phase(Phase.BOOTING)).boot.id
        await made.agent("hello", boot, facts={"dmi": {"uuid": "99999999-2222-3333-4444-555555555555"}})
        assert "was it swapped?" in (await made.until(lambda o: bool(o.conflict))).conflict


async def test_the_done_signal_on_the_console_ends_a_boot(tmp_path: Path):
    """A boot step is done when the console shows the image's pattern, however it is cut."""
    async with lab(tmp_path) as made:
        await made.want(wanted(BOOT))
        await made.phase(Phase.BOOTING)
        driver = made.rack.console_of("b1").driver
        assert isinstance(driver, FakeConsole)
        driver.say(b"Debian GNU/Linux\r\nlog")
        driver.say(b"in: ")
        ended = await made.until(lambda o: o.run is not None and o.run.state.ended)
        assert ended.run.state is RunState.SUCCEEDED


async def test_a_board_that_is_dropped_is_forgotten(tmp_path: Path):
    """Taking a board out of the inventory ends its keeper and what was observed of it."""
    async with lab(tmp_path) as made:
        await made.want(wanted())
        await made.until(lambda o: o.power.state is PowerState.ON)
        await made.link.desire("board/b1", None)
        async with asyncio.timeout(60):
            async for change in made.link.observed():
                if change.document is None:
                    break
        with pytest.raises(RequestRefusedError, match="b1"):
            await made.link.request("check", {"board": "b1"}, deadline=5)


async def test_a_link_that_takes_nothing_costs_time_and_nothing_else(tmp_path: Path, monkeypatch):
    """While the disk is full the rack lives and answers boards; once there is room the hub hears it all."""
    async with lab(tmp_path) as made:
        await made.want(wanted(WIPE))
        boot = (await made.phase(Phase.BOOTING)).boot.id
        publish, observe = made.link.publish, made.link.observe
        full = True

        async def publish_if_room(event) -> None:
            if full:
                raise LinkError("the disk is full")
            await publish(event)

        async def observe_if_room(key, document) -> None:
            if full:
                raise LinkError("the disk is full")
            await observe(key, document)

        monkeypatch.setattr(made.link, "publish", publish_if_room)
        monkeypatch.setattr(made.link, "observe", observe_if_room)
        await made.agent("hello", boot, facts={"x": 1})
        made.rack.trace(TraceEvent(1.0, "dhcp", "offer", "while it was full", board="b1"))
        async with asyncio.timeout(60):
            while await made.agent("done", boot, result={"verified": True}) != 204:
                await asyncio.sleep(0.05)
        full = False
        ended = await made.until(lambda o: o.run is not None and o.run.state.ended)
        assert ended.run.state is RunState.SUCCEEDED
        async with asyncio.timeout(60):
            async for _, document in made.link.events(0):
                if document["text"] == "while it was full":
                    break


async def test_a_rack_whose_keepers_cannot_write_can_be_stopped(tmp_path: Path, monkeypatch):
    """A keeper that fails in the very moment it is cancelled does not begin again."""
    async with lab(tmp_path) as made:

        async def full(*_: object) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                raise StorageError("rack.db: the disk is full")

        monkeypatch.setattr(RackStore, "keep", full)
        await made.want(wanted(WIPE))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(60):
            await made.link.desire("board/b1", None)
            while "b1" in made.rack._kept or "keeper b1" in {
                task.get_name() for task in made.rack._tasks._tasks
            }:
                await asyncio.sleep(0.05)


async def test_a_console_outlives_a_keeper_that_fell_over(tmp_path: Path, monkeypatch, caplog):
    """While a keeper cannot store what it did, its board's console is read, recorded and shown."""
    async with lab(tmp_path) as made:

        async def full(*_: object) -> None:
            raise StorageError("rack.db: the disk is full")

        await made.want(wanted(power=PowerState.OFF))
        await made.until(lambda o: o.console is True)
        body = {"board": "b1", "mode": "write", "principal": "anna", "may_write": True, "claim": "c1"}
        anna = await made.link.open_stream("console", body)
        monkeypatch.setattr(RackStore, "keep", full)
        await made.want(wanted(WIPE))
        kept = made.rack._kept["b1"]
        async with asyncio.timeout(60):
            while not any("keeper of b1 waits" in record.message for record in caplog.records):
                await asyncio.sleep(0.02)
            said = b""
            await anna.write(pack(BYTES, b"still here"))
            while b"still here" not in said:
                part = await anna.read()
                assert part, "the console was closed"
                said += part
        assert "keeper of b1 waits: rack.db: the disk is full" in caplog.text
        assert kept.console is not None
        assert kept.console.log.read("before").data.endswith(b"still here")


async def test_searches_hold_up_nothing_else_that_needs_a_thread(tmp_path: Path):
    """Console logs are searched in threads of their own, which are few."""
    async with lab(tmp_path) as made:
        await made.want(wanted(power=PowerState.OFF))
        await made.until(lambda o: o.console is True)
        all_others = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(all_others)
        done = threading.Event()
        blocked = all_others.submit(done.wait)
        try:
            found = await made.link.request("console-search", {"board": "b1", "search": "x"}, deadline=5)
        finally:
            done.set()
        assert found == {"matches": [], "complete": True}
        assert blocked.result(5)


@pytest.mark.parametrize("kind", [InProcessLink, RackStore])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, kind):
    """What cannot be read as what it should be is told with its name and what to do, and left as it is."""
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"x\.db.*backup"):
        kind(path)
    assert path.read_bytes() == b"not a database" * 100


async def test_who_gives_a_board_back_is_sent_away_from_its_console(tmp_path: Path):
    """A console a holder has open is closed when the board is released, not when it is free again."""
    async with lab(tmp_path) as made:
        held = wanted(power=PowerState.OFF)
        await made.want(held)
        await made.until(lambda o: o.console is True)
        body = {"board": "b1", "mode": "write", "principal": "anna"}
        mine = await made.link.open_stream("console", {**body, "claim": "c1"})
        admins = await made.link.open_stream("console", {**body, "mode": "read", "admin": True})
        await mine.read()
        await made.want(replace(held, lifecycle=Lifecycle.RELEASING))
        async with asyncio.timeout(60):
            while await mine.read():
                pass
        assert await admins.read()
