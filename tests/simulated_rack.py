"""A rack without metal: it speaks the rack's end of the link as a real one does, at once or when told."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.hub.database import Database
from hostler.hub.hub import Hub
from hostler.hub.records import HUB, Agent
from hostler.images.store import ImageStore
from hostler.link.documents import from_document, to_document
from hostler.link.frames import BYTES, COMMAND, Unpacker, pack
from hostler.link.inprocess import InProcessLink
from hostler.link.port import RackLink, RequestRefusedError, Stream
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import Phase, RunState, RunStatus
from hostler.model.seam import BootRecord, Desired, Observed, RackPlan
from hostler.model.trace import TraceEvent
from hostler.store_files import StoreFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.model.json import Document

LAB = """
[lab]
name = "bench"

[networks.boot]
interface = "eth1"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"

[equipment.rack1]
driver = "snmp-poe"
host = "10.0.0.2"
community = "env:RACK1"

[classes.pc]
platform = "x86-bios"

[classes.arm]
platform = "arm64-uboot"

[boards.pc-1]
class = "pc"
mac = "52:54:00:00:00:01"
power = { equipment = "rack1", port = 1 }
console = { driver = "raw-tcp", host = "127.0.0.1", port = 16201 }

[boards.pc-2]
class = "pc"
mac = "52:54:00:00:00:02"
power = { equipment = "rack1", port = 2 }

[boards.arm-1]
class = "arm"
mac = "52:54:00:00:00:03"
power = { equipment = "rack1", port = 3 }
"""


WIPED = {"disks": [{"disk": {"path": "/dev/vda"}, "method": "zeroed", "verified_bytes": 4096}]}


WELL: Document = {
    "ok": True, "crossed": [], "interrupted": "",
    "checks": [{"what": "power on of it", "ok": True, "text": "reads on", "advice": ""}],
}  # fmt: skip

PANEL: Document = {
    "asked": True, "trouble": "", "pools": [{"pool": "group 1", "limit": 370.0, "drawn": 12.0}],
    "ends": [
        {"params": {"port": 1}, "state": "on", "watts": None, "detail": "delivering power"},
        {"params": {"port": 2}, "state": "off", "watts": None, "detail": "disabled"},
        {"params": {"port": 3}, "state": "unknown", "watts": None, "detail": "test"},
    ],
    "ports": [
        {
            "number": 9, "up": True, "spanning_tree": "forwarding", "pvid": 1, "tagged": [7],
            "macs": ["52:54:00:aa:bb:cc"],
        },
    ],
}  # fmt: skip


@dataclass
class SimBoard:
    """One simulated board: what is wanted, what is, and whether it does what it is told."""

    desired: Desired
    observed: Observed
    hang: bool = False
    fail: str = ""
    stays_on: bool = False


@dataclass
class SimRack:
    """Carries out runs and power at once unless a board hangs, fails or stays on."""

    link: RackLink
    memory: Path
    boards: dict[str, SimBoard] = field(default_factory=dict)
    plan: RackPlan = field(default_factory=RackPlan)
    hang: bool = False
    fail: str = ""
    stays_on: bool = False
    typed: list[bytes] = field(default_factory=list)
    requests: list[tuple[str, Document]] = field(default_factory=list)
    opened: list[Document] = field(default_factory=list)
    trying: asyncio.Event | None = None
    tried: dict[str, Document] = field(default_factory=dict)
    found: Document = field(default_factory=dict)
    wires: Document = field(default_factory=lambda: {"ok": True, "checks": []})
    panel: Document = field(default_factory=lambda: dict(PANEL))
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    result_of: dict[str, Document] = field(default_factory=dict)
    lines: list[Document] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers.set()

    def count(self, kind: str) -> int:
        """Return how often something was asked of it."""
        return sum(asked == kind for asked, _ in self.requests)

    async def run(self) -> None:
        """Follow what the hub desires until cancelled."""
        self.link.serve(self._request, self._stream)
        async for change in self.link.desired():
            if change.key == "rack":
                self.plan = from_document(RackPlan, change.document or {})
                continue
            name = change.key.removeprefix("board/")
            if change.document is None:
                self.boards.pop(name, None)
                await self.link.observe(change.key, None)
                continue
            desired = from_document(Desired, change.document)
            board = self.boards.get(name)
            if board is None:
                board = self.boards[name] = SimBoard(
                    desired, self._remembered(name),
                    hang=self.hang, fail=self.fail, stays_on=self.stays_on,
                )  # fmt: skip
            board.desired = desired
            await self.work(board)

    async def work(self, board: SimBoard) -> None:
        """Bring one board to where it should be."""
        order, status = board.desired.run, board.observed.run
        if order is not None and (status is None or status.id != order.id):
            status = RunStatus(order.id, RunState.RUNNING, started=time.time())
            await self.tell(board, run=status)
        if order is not None and status is not None and not status.state.ended:
            if order.cancelled:
                await self.tell(board, run=replace(status, state=RunState.CANCELLED, error="cancelled"))
            elif not board.hang:
                await self.carry_out(board)
                return
            else:
                return
        if not board.stays_on or board.desired.power is PowerState.ON:
            await self.tell(board, power=PowerReading(board.desired.power), cycles=board.desired.cycles)

    async def carry_out(self, board: SimBoard) -> None:
        """Do a run to its end."""
        order, status = board.desired.run, board.observed.run
        assert order is not None
        assert status is not None
        await self.boot(board, "agent")
        if board.fail:
            failed = replace(status, state=RunState.FAILED, error=board.fail, log=("line 1", "line 2"))
            await self.tell(board, run=failed)
        else:
            for number, step in enumerate(order.steps):
                result = self.result_of.get(str(step.kind), WIPED)
                status = replace(status, step=number + 1, results=(*status.results, result))
                await self.tell(board, run=status)
            await self.tell(board, run=replace(status, state=RunState.SUCCEEDED, ended=time.time()))
        if not board.stays_on:
            await self.tell(board, power=PowerReading(board.desired.power))

    async def boot(self, board: SimBoard, purpose: str) -> None:
        """Power a board up once."""
        name = board.observed.board
        number = board.observed.boot.number + 1 if board.observed.boot else 1
        boot = BootRecord(f"{name}-boot{number}", number, time.time(), purpose, True, "secret")
        await self.tell(board, power=PowerReading(PowerState.ON, 3.5), boot=boot, console=True)
        for source, kind in (("power", "on"), ("dhcp", "ack"), ("agent", "hello")):
            event = TraceEvent(
                time.time(), source, kind, f"{source} {kind}", name, boot=boot.id, data={"n": 1}
            )
            await self.link.publish(event.to_json())

    async def progress(self, name: str, done: int, total: int, step: int = 0) -> None:
        """Report bytes of a hanging run."""
        board = self.boards[name]
        status = board.observed.run
        assert status is not None
        status = replace(status, phase=Phase.EXECUTING, done=done, total=total, step=step)
        await self.tell(board, run=status)

    async def tell(self, board: SimBoard, **seen: Any) -> None:
        """Observe something new of a board."""
        board.observed = replace(board.observed, at=time.time(), **seen)
        await self.link.observe(f"board/{board.observed.board}", to_document(board.observed))

    def _remembered(self, name: str) -> Observed:
        with suppress(FileNotFoundError, KeyError):
            return from_document(Observed, json.loads(self.memory.read_text())[name])
        return Observed(name, PowerReading(PowerState.OFF), at=time.time())

    def save(self) -> None:
        """Keep what was seen, as a rack keeps its memory over a restart."""
        seen = {name: to_document(board.observed) for name, board in self.boards.items()}
        self.memory.write_text(json.dumps(seen))

    async def _request(self, kind: str, body: Document) -> Document:
        self.requests.append((kind, body))
        if kind == "check":
            if "boards" in body:
                await self.answers.wait()
                if not self.wires:
                    raise RequestRefusedError("no wires")
                return self.wires
            return {
                "ok": True,
                "checks": [{"what": "switch rack1", "ok": True, "text": "answers", "advice": ""}],
            }
        if kind == "leases":
            held: Document = {
                "network": "boot", "address": "10.77.0.100", "mac": "52:54:00:00:00:01", "board": "pc-1",
                "kind": "dynamic", "state": "bound", "expires": 4102444800.0,
            }  # fmt: skip
            return {"leases": [held] if body["board"] in (None, "pc-1") else []}
        if kind == "panel":
            await self.answers.wait()
            if not self.panel:
                raise RequestRefusedError("no panel")
            return self.panel
        if kind == "active-check":
            if self.trying is not None:
                await self.trying.wait()
            return self.tried.get(str(body["board"]), WELL)
        if kind == "find-wires":
            return self.found
        if kind == "console-lines":
            return {"lines": list(self.lines)}
        if kind == "console-claims":
            return {"claims": [self.boards[str(body["board"])].desired.claim]}
        if kind == "console-log":
            return {"data": "aGVsbG8="}
        if kind == "console-claims":
            claim = self.boards[str(body["board"])].desired.claim
            return {"claims": [None, claim, "c-forgotten"] if claim else [None]}
        if kind == "console-search":
            boot = self.boards[str(body["board"])].observed.boot
            match: Document = {
                "time": 1000.5, "boot": boot.id if boot else None, "offset": 3, "line": "a line"
            }  # fmt: skip
            return {"matches": [match, {**match, "boot": "before"}], "complete": True}
        if kind in ("console-kick", "console-notice"):
            return {"closed": 2, "told": 2}
        if kind == "console-notice":
            return {"told": 1}
        raise RequestRefusedError(f"unknown request {kind}")

    async def _stream(self, kind: str, body: Document, stream: Stream) -> None:
        self.opened.append(body)
        if kind != "console" or body["board"] not in self.boards:
            raise RequestRefusedError("no such console")
        attached = {"event": "attached", "writer": body["mode"] == "write", "replay": 3}
        await stream.write(pack(COMMAND, json.dumps(attached).encode()) + pack(BYTES, b"abc"))
        unpacker = Unpacker()
        while data := await stream.read():
            for channel, payload in unpacker.feed(data):
                self.typed.append(payload)
                if channel == BYTES:
                    await stream.write(pack(BYTES, payload.upper()))
                if payload == b"quit":
                    await stream.close()
                    return


@dataclass
class Lab:
    """A running hub with its simulated rack."""

    hub: Hub
    rack: SimRack
    link: InProcessLink
    database: Database
    token: str | None
    store: ImageStore


@asynccontextmanager
async def running(
    directory: Path, *, lab: str | None = LAB, agents: bool = True, **rack_options: Any
) -> AsyncIterator[Lab]:
    """Run a hub over what is in ``directory``, with a rack; both end with the block."""
    database = Database(directory / "hub.sqlite")
    link = InProcessLink(directory / "link.sqlite")
    store = ImageStore(directory / "store")
    hub = Hub(database, link, StoreFiles(store), directory / "spool")
    rack = SimRack(link, directory / "rack.json", **rack_options)
    tasks = [asyncio.ensure_future(hub.run()), asyncio.ensure_future(rack.run())]
    try:
        await asyncio.wait_for(hub.started.wait(), 60)
        token = await hub.first_token()
        if agents and not hub.state.agents:
            for arch in ("amd64", "arm64"):
                agent = Agent(arch, "a" * 64, "b" * 64)
                await hub.change(lambda draft, agent=agent: draft.agents.put(agent.arch, agent))
        if lab is not None and not hub.state.boards:
            await hub.apply_inventory(HUB, lab)
        yield Lab(hub, rack, link, database, token, store)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        rack.save()
        await link.close()
        await asyncio.to_thread(database.close)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def until(condition: Any, seconds: float = 60) -> Any:
    """Wait until a condition holds (KeyError: not yet) and return its value; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        with suppress(KeyError):  # not there yet
            if value := condition():
                return value
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)
