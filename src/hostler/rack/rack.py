"""A rack: follows what the hub desires, runs one keeper per board, and tells what happens."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverError
from hostler.link.documents import DocumentError, from_document, to_document
from hostler.link.group_commit import StorageError
from hostler.link.port import RequestRefusedError
from hostler.model.board import Lifecycle
from hostler.model.network_trouble import NetworkTrouble
from hostler.model.seam import Desired, Observed, RackPlan
from hostler.model.trace import TraceEvent
from hostler.rack.active_check import ActiveChecks
from hostler.rack.agents import AgentReports
from hostler.rack.board_tcp import serve_tcp
from hostler.rack.boot_packets import BootPackets
from hostler.rack.captures import Captures
from hostler.rack.check import check
from hostler.rack.console import RackConsole
from hostler.rack.console_door import REQUESTS as CONSOLE_REQUESTS
from hostler.rack.console_door import serve_console
from hostler.rack.console_lines import last_lines
from hostler.rack.ears import Ears
from hostler.rack.find_wires import WireFinder
from hostler.rack.front_panel import read_panel
from hostler.rack.keeper import Keeper
from hostler.rack.lease_list import list_leases
from hostler.rack.netboot import Netboot
from hostler.rack.networks import namespace_of
from hostler.rack.port_watch import PortWatch
from hostler.rack.served_watch import ServedWatch
from hostler.rack.stand_ins import StandIns
from hostler.rack.strangers import Strangers
from hostler.rack.targets import artefacts, target
from hostler.rack.uplink import Uplink
from hostler.rack.wire_ends import equipment_of
from hostler.rack.wires import Wires

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from hostler.images.store import ImageStore
    from hostler.link.port import RackLink, Stream
    from hostler.model.board import Board
    from hostler.model.json import Document
    from hostler.model.keeper_view import Memory, View
    from hostler.rack.boot_control import BootControls
    from hostler.rack.chunk_supply import ChunkSupply
    from hostler.rack.store import RackStore

log = logging.getLogger(__name__)

_RESTART_SECONDS = 5.0
"""Pause before a keeper that fell over is started again."""

_SEARCHERS = 2
"""Searches of console logs at a time: each may take a core for 15 seconds, and whatever else needs a thread
(who joins a console, who reads a trace) does not wait for them."""

_RECENT_SECONDS = 300.0
"""A machine nobody knows that asked within this time was there before whatever is tried now."""


@dataclass(slots=True)
class _Kept:
    """A board under care: its keeper and the task that runs it."""

    keeper: Keeper
    console: RackConsole | None
    task: asyncio.Task[None]


class Rack:
    """Everything on the metal of one host.

    Args:
        link: The rack's end of the link.
        store: The keepers' memories.
        images: Chunks and artefacts this rack serves.
        state_dir: Where leases and console logs lie.
        supply: Brings images that are at home on another server; None: there are none.
    """

    def __init__(
        self, link: RackLink, store: RackStore, images: ImageStore, state_dir: Path,
        supply: ChunkSupply | None = None,
    ) -> None:  # fmt: skip
        self._link, self._uplink = link, Uplink(link)
        self._store = store
        self._images = images
        self._plan = RackPlan()
        self._kept: dict[str, _Kept] = {}
        self._strangers = Strangers()
        self._stand_ins = StandIns()
        self._troubles = NetworkTrouble()
        self._ports = PortWatch(lambda: self._plan, self._troubles, self._uplink.publish)
        self.ears = Ears()
        self._active_checks = ActiveChecks(self)
        self._wire_finder = WireFinder(self, self._active_checks.turn)
        self._consoles_dir = state_dir / "consoles"
        self._searchers = ThreadPoolExecutor(_SEARCHERS, "console-search")
        self.wires = Wires()
        self._captures = Captures(images, self._active_runs)
        self.reports = AgentReports(
            lambda name: kept.keeper if (kept := self._kept.get(name)) else None, self._captures
        )
        self.netboot = Netboot(images.root, state_dir, self._heard, self.reports, supply)
        self._served = ServedWatch(self.netboot.trouble, self._troubles.silent, self._uplink.publish)
        self._packets = BootPackets(state_dir / "netboot", lambda: self._plan.keep_traces)

    async def run(self) -> None:
        """Keep the rack until cancelled."""
        self._link.serve(self._request, self._stream)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._uplink.run(), name="publish")
            tasks.create_task(self._follow(), name="follow")
            tasks.create_task(self._captures.run(), name="captures")
            tasks.create_task(self._packets.run(), name="packets")

    def _active_runs(self) -> set[str]:
        runs = (kept.keeper.view.memory.run for kept in self._kept.values())
        return {run.id for run in runs if run is not None and not run.state.ended}

    # What the hub wants.

    async def _follow(self) -> None:
        async for change in self._link.desired():
            try:
                if change.key == "rack":
                    await self._take_plan(from_document(RackPlan, change.document or {}))
                elif change.key.startswith("board/"):
                    name = change.key.removeprefix("board/")
                    if change.document is None:
                        await self._drop(name)
                    else:
                        await self._take(from_document(Desired, change.document))
            except (DocumentError, DriverError) as error:
                log.error("%s is not what this rack understands: %s", change.key, error)  # noqa: TRY400

    async def _take_plan(self, plan: RackPlan) -> None:
        self._plan = plan
        changed = self.wires.equip(plan.equipment)
        for files in plan.agents.values():
            for artefact in files.values():
                self.netboot.put_artefact(artefact, self._images.artefact_path(artefact))
        await self.netboot.serve(plan.networks, self._tasks)
        for kept in tuple(self._kept.values()):
            if changed & _through(kept.keeper.view.desired.board):
                await self._take(kept.keeper.view.desired, rewire=True)
            else:
                self.answer(kept.keeper.view)

    async def _take(self, desired: Desired, *, rewire: bool = False) -> None:
        name = desired.board.name
        for mac in desired.board.macs:
            if self._strangers.forget(mac):
                await self._uplink.observe(f"stranger/{mac}", None)
        kept = self._kept.get(name)
        if kept is not None:
            old = kept.keeper.view.desired.board
            if not rewire and _wired_alike(old, desired.board):
                if kept.console is not None and kept.console.hold(_holder(desired)):
                    self._tasks.create_task(kept.console.send_away())  # one who does not read holds up nobody
                kept.keeper.desire(self._active_checks.through(desired))
                return
            await self._stop(name)
        await self._start(desired, self._store.memory(name))

    async def _start(self, desired: Desired, memory: Memory) -> None:
        board = desired.board
        power = self.wires.power(board)
        console = self._console(desired, memory)
        keeper = Keeper(desired, memory, self, power, console, self._boot_control(board, console))
        task = self._tasks.create_task(self._keep(keeper, console), name=f"keeper {board.name}")
        self._kept[board.name] = _Kept(keeper, console, task)

    def _boot_control(self, board: Board, console: RackConsole | None) -> BootControls | None:
        try:
            return self.wires.boot_control(board, console)
        except DriverError as error:
            self.trace(TraceEvent(time.time(), "bootctl", "error", str(error), board=board.name))
            return None

    def _console(self, desired: Desired, memory: Memory) -> RackConsole | None:
        board = desired.board
        try:
            driver = self.wires.console(board)
        except DriverError as error:
            self.trace(TraceEvent(time.time(), "console", "error", str(error), board=board.name))
            return None
        if driver is None:
            return None
        boot = memory.boot.id if memory.boot else None
        folder = self._consoles_dir / board.name
        return RackConsole(
            board.name,
            driver,
            folder,
            boot,
            self.trace,
            self.reports.marker,
            _holder(desired),
            self._searchers,
        )

    async def _keep(self, keeper: Keeper, console: RackConsole | None) -> None:
        """Run a keeper and its console until cancelled: neither is harmed when the other falls over."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._again(f"the keeper of {keeper.name}", keeper.run))
                if console is not None:
                    tasks.create_task(self._again(f"the console of {keeper.name}", console.run))
        finally:
            if console is not None:
                console.close()

    async def _again(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run something until cancelled; when it falls over it starts again, from what it stored."""
        while True:
            try:
                await run()
            except* StorageError as errors:
                error: Exception = errors
                while isinstance(error, ExceptionGroup):
                    error = error.exceptions[0]
                log.warning("%s waits: %s", what, error)
            except* Exception:
                log.exception("%s fell over; it starts again", what)
            # A group whose task is cancelled while another fails tells of the failure alone.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            await asyncio.sleep(_RESTART_SECONDS)

    async def _stop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            kept.task.cancel()
            await asyncio.wait({kept.task})

    async def _drop(self, name: str) -> None:
        await self._stop(name)
        self.wires.forget(name)
        self._troubles.forget(name)
        self.netboot.drop_target(name)
        await self._packets.forget(name)
        try:
            await self._store.forget(name)
        except StorageError as error:  # what is left of it harms nobody: its runs are over
            log.warning("%s is dropped, but not forgotten: %s", name, error)
        await self._uplink.observe(f"board/{name}", None)

    # What keepers ask for (KeeperPort).

    async def keep(self, board: str, memory: Memory) -> None:
        """See KeeperPort."""
        await self._store.keep(board, memory)

    async def tell(self, observed: Observed) -> None:
        """See KeeperPort."""
        await self._uplink.observe(f"board/{observed.board}", to_document(observed))

    def answer(self, view: View) -> None:
        """See KeeperPort."""
        for artefact in artefacts(view):
            self.netboot.put_artefact(artefact, self._images.artefact_path(artefact))
        self.netboot.put_target(target(view, self._plan.agents))

    def missing(self, view: View) -> tuple[str, ...]:
        """See KeeperPort."""
        return tuple(a for a in artefacts(view) if not self._images.artefact_path(a).exists())

    def trace(self, event: TraceEvent) -> None:
        """Add an event to history, and what it shows to be wrong with the network; never blocks."""
        self._uplink.publish(event)
        kept = self._kept.get(event.board) if event.board is not None else None
        if kept is not None:
            for trouble in self._troubles.note(event, kept.keeper.view.desired.board.network):
                self._uplink.publish(trouble)
            view = kept.keeper.view
            boots = view.memory.boot is not None and view.memory.boot.purpose != "local"
            self._ports.note(event, view.desired.board, self._tasks, boots=boots)
            if boots:
                self._served.note(event, view.desired.board.network, self._tasks)

    # What netboot and the hub tell or ask.

    def _heard(self, event: TraceEvent) -> None:
        self.trace(event)
        self.ears.hear(event)
        self._stand_ins.note(event)
        if event.board is not None and (kept := self._kept.get(event.board)) is not None:
            kept.keeper.heard(event)
        stranger = self._strangers.note(event)
        if stranger is not None:
            self._tasks.create_task(self._uplink.observe(f"stranger/{stranger.mac}", to_document(stranger)))

    async def _request(self, kind: str, body: Document) -> Document:
        if kind == "check":
            boards = [kept.keeper for kept in self._kept.values()]
            return await check(self._plan, boards, self.netboot, body)
        if kind == "active-check":
            return await self._active_checks.check(body)
        if kind == "leases":
            return await self._leases(body)
        if kind == "panel":
            unit = equipment_of(self._plan, str(body.get("equipment")))
            return await read_panel(unit, self.wires)
        if kind == "packets":
            return await self._packets.read(self._find(body).keeper.name, body)
        if kind == "find-wires":
            return await self._wire_finder.find(body)
        if kind == "console-lines":
            return last_lines({name: kept.console for name, kept in self._kept.items() if kept.console})
        if kind in CONSOLE_REQUESTS:
            console = self._find(body).console
            if console is None:
                raise RequestRefusedError("the board has no console")
            return await CONSOLE_REQUESTS[kind](console, body)
        raise RequestRefusedError(f'this rack does not know the request "{kind}"')

    async def _leases(self, body: Document) -> Document:
        boards = {name: kept.keeper.view.desired.board for name, kept in self._kept.items()}
        board, network = body.get("board"), body.get("network")
        return await list_leases(
            self.netboot.served(), boards, self._stand_ins.boards,
            board=str(board) if board else None, network=str(network) if network else None,
        )  # fmt: skip

    async def _stream(self, kind: str, body: Document, stream: Stream) -> None:
        if kind == "tcp":
            await self._tcp(body, stream)
            return
        if kind != "console":
            raise RequestRefusedError(f'this rack does not know the stream "{kind}"')
        await serve_console(self._find(body).console, body, stream)

    async def _tcp(self, body: Document, stream: Stream) -> None:
        board = self._find(body).keeper.view.desired.board
        await serve_tcp(
            body, board.address, (*board.macs, *self._stand_ins.macs(board.name)),
            self.netboot.leases(board.network),
            namespace_of(self._plan.networks, board.network), stream,
        )  # fmt: skip

    @property
    def plan(self) -> RackPlan:
        """What this rack serves besides its boards."""
        return self._plan

    def keepers(self) -> dict[str, Keeper]:
        """Return every keeper by its board's name."""
        return {name: kept.keeper for name, kept in self._kept.items()}

    def recent_strangers(self) -> frozenset[str]:
        """Return the MACs of machines nobody knows that asked a moment ago."""
        return self._strangers.recent(time.time() - _RECENT_SECONDS)

    def console_of(self, board: str) -> RackConsole | None:
        """Return a board's console, or None where it has none."""
        kept = self._kept.get(board)
        return kept.console if kept is not None else None

    def _find(self, body: Document) -> _Kept:
        kept = self._kept.get(str(body.get("board")))
        if kept is None:
            raise RequestRefusedError(f'this rack does not keep a board "{body.get("board")}"')
        return kept


def _through(board: Board) -> set[str | None]:
    """Return the equipment a board's wires go through."""
    wires = (*board.power, *((board.console,) if board.console else ()), *board.bootctl)
    return {wire.equipment for wire in wires}


def _wired_alike(old: Board, new: Board) -> bool:
    return (old.power, old.console, old.watts, old.bootctl) == (
        new.power,
        new.console,
        new.watts,
        new.bootctl,
    )


def _holder(desired: Desired) -> str | None:
    """Return the claim whose holder may use the board; one that gives it back holds it no more."""
    return desired.claim if desired.lifecycle is Lifecycle.CLAIMED else None
