"""The real server side (hub, API, link, image store) with a rack that plays its part at the seam.

Two boards of class ``pc``, one of class ``arm`` without a console. Image names say how a run goes: one that
begins with ``bad`` fails, one that begins with ``slow`` works until it is called off; of one that begins with
``whole`` the agent says that it is done, and the board's DHCP client has a name that would be markup.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import uvicorn

from hostler.api.app import create_app
from hostler.client.client import Client
from hostler.client.settings import Settings
from hostler.hub.database import Database
from hostler.hub.hub import Hub
from hostler.hub.records import HUB
from hostler.images.store import ImageStore
from hostler.link.documents import from_document, to_document
from hostler.link.frames import BYTES, COMMAND, Unpacker, pack
from hostler.link.inprocess import InProcessLink
from hostler.link.port import RequestRefusedError, Stream
from hostler.model.board import Lifecycle
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import Phase, RunState, RunStatus
from hostler.model.seam import BootRecord, Desired, Observed, Stranger
from hostler.model.trace import TraceEvent
from hostler.rack.boot_packets import BootPackets
from hostler.rack.console import RackConsole
from hostler.rack.console_door import REQUESTS as CONSOLE_REQUESTS
from hostler.rack.console_door import serve_console
from hostler.rack.console_lines import last_lines
from hostler.serve import reveal_secret
from hostler.store_files import StoreFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostler.drivers.console.protocol import ConsoleDriver
    from hostler.model.json import Document

LAB = """
[lab]
name = "test"
[networks.boot]
interface = "eth1"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"
[classes.pc]
platform = "x86-bios"
[classes.arm]
platform = "arm64-uboot"
[boards.pc-1]
class = "pc"
mac = "52:54:00:00:00:01"
power = { driver = "fake" }
console = { driver = "fake" }
[boards.pc-2]
class = "pc"
mac = "52:54:00:00:00:02"
power = { driver = "fake" }
console = { driver = "fake" }
[boards.arm-1]
class = "arm"
mac = "52:54:00:00:00:03"
power = { driver = "fake" }
"""
TOTAL = 100_000_000
STRANGER = "52:54:00:aa:00:01"
LOST = "52:54:00:aa:00:02"
"""Machines nobody knows: one whose power is found, and one whose is not."""
MARKUP = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>"
"""What a board may call itself to a DHCP server."""
_PACE = 0.15  # a run of two steps takes longer than a look of the client


class SimulatedRack:
    """Does at once what it is told, and tells so, as a rack would."""

    def __init__(
        self, link: InProcessLink, terminal: int | None, console: RackConsole | None, state: Path
    ) -> None:
        self._link = link
        self._state = state
        self._kept_console = console
        self._terminal = terminal
        self._wanted: dict[str, Desired] = {}
        self._seen: dict[str, Observed] = {}
        self._took: set[str] = set()

    async def run(self) -> None:
        """Follow what is desired until cancelled."""
        self._link.serve(self._request, self._console)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._meet_strangers())
            if self._kept_console is not None:
                tasks.create_task(self._kept_console.run())
            async for change in self._link.desired():
                kind, _, name = change.key.partition("/")
                if kind != "board" or change.document is None:
                    continue
                wanted = from_document(Desired, change.document)
                self._wanted[name] = wanted
                if name == "pc-1" and self._kept_console is not None:
                    claimed = wanted.lifecycle is Lifecycle.CLAIMED
                    if self._kept_console.hold(wanted.claim if claimed else None):
                        await self._kept_console.send_away()
                order = wanted.run
                if order is not None and order.id not in self._took:
                    self._took.add(order.id)
                    tasks.create_task(self._carry_out(name, order.id))
                elif order is None or self._status(name) is None or self._status(name).state.ended:
                    await self._observe(
                        name, power=PowerReading(wanted.power, None, ""), cycles=wanted.cycles
                    )

    async def _told(self, word: str) -> None:
        """Wait until the test, which is in another thread, says this by a file."""
        while not (self._state / word).exists():
            await asyncio.sleep(0.02)

    async def _meet_strangers(self) -> None:
        await self._told("strangers")
        for mac in (STRANGER, LOST):
            stranger = Stranger(mac, "boot", {"serial": "S1"}, 1.0, 2.0)
            await self._link.observe(f"stranger/{mac}", to_document(stranger))

    def _status(self, name: str) -> Any:
        return self._seen[name].run if name in self._seen else None

    async def _observe(self, name: str, **what: Any) -> None:
        seen = self._seen.get(name, Observed(name, console=name != "arm-1" or None))
        self._seen[name] = replace(seen, at=time.time(), **what)
        await self._link.observe(f"board/{name}", to_document(self._seen[name]))

    async def _carry_out(self, name: str, run: str) -> None:
        order = self._wanted[name].run
        assert order is not None
        before = self._seen[name].boot if name in self._seen else None
        boot = BootRecord(f"b-{run}", before.number + 1 if before else 1, time.time(), "agent")
        on = PowerReading(PowerState.ON, None, "")
        status = RunStatus(run, RunState.RUNNING, since=time.time(), started=time.time(), boot=boot.id)
        await self._observe(name, run=status, boot=boot, power=on)
        whole = any(str(step.params.get("image", "")).startswith("whole") for step in order.steps)
        await self._trace(name, boot, "power", "on", "switched on")
        await self._trace(name, boot, "dhcp", "ack", "10.77.0.100 for 1 h" + f" to {MARKUP}" * whole)
        results: list[dict[str, Any]] = []
        for number, step in enumerate(order.steps):
            image = str(step.params.get("image", ""))
            status = replace(status, step=number, phase=Phase.EXECUTING, total=TOTAL, results=tuple(results))
            done = 0
            while done < TOTAL:
                await asyncio.sleep(_PACE)
                while (self._state / "hold").exists():  # the test looks at runs that go on
                    await asyncio.sleep(0.02)
                wanted = self._wanted[name].run
                if wanted is not None and (wanted.id != run or wanted.cancelled):
                    await self._end(name, replace(status, state=RunState.CANCELLED, error="called off"))
                    return
                done = min(TOTAL // 2, done + TOTAL // 50) if image.startswith("slow") else done + TOTAL // 4
                await self._observe(name, run=replace(status, done=done))
            if image.startswith("bad"):
                failed = replace(
                    status, state=RunState.FAILED, error="disk is broken", log=("reading", "EIO")
                )
                await self._end(name, failed)
                return
            disk = {"disk": {"path": "/dev/vda"}, "method": "zeroed", "verified_bytes": 4096}
            results.append({"disks": [disk]})
        if whole:
            await self._trace(name, boot, "agent", "done", "all steps are done")
        await self._end(name, replace(status, state=RunState.SUCCEEDED, results=tuple(results)))

    async def _trace(self, board: str, boot: BootRecord, source: str, kind: str, text: str) -> None:
        event = TraceEvent(time.time(), source, kind, text, board=board, boot=boot.id)
        await self._link.publish(event.to_json())

    async def _end(self, name: str, status: RunStatus) -> None:
        power = self._wanted[name].power
        await self._observe(
            name, run=replace(status, ended=time.time()), power=PowerReading(power, None, "read back")
        )

    async def _request(self, kind: str, body: Document) -> Document:
        if kind == "check":
            good = {"what": "network boot", "ok": True, "text": "served", "advice": ""}
            bad = {"what": "power pc-2", "ok": False, "text": "no answer", "advice": "look at the cable"}
            wires: Any = body.get("boards", [])
            rows = [bad] if "pc-2" in wires else [] if "boards" in body else [good]
            return {"ok": bad not in rows, "checks": rows}  # type: ignore[dict-item]
        if kind == "leases":
            held: Document = {
                "network": "boot", "address": "10.77.0.100", "mac": "52:54:00:00:00:01", "board": "pc-1",
                "kind": "dynamic", "state": "bound", "expires": 4102444800.0,
            }  # fmt: skip
            return {"leases": [held] if body["board"] in (None, "pc-1") else []}
        if kind == "active-check":
            return await self._try_wires(body)
        if kind == "find-wires":
            wire = {"equipment": "rack1", "params": {"port": 7}}
            row = {"what": "power of it", "ok": True, "text": "port 7 of rack1", "advice": ""}
            found = {"ok": False, "mac": body["mac"], "power": wire, "console": None, "checks": [row]}
            return found if body["mac"] == STRANGER else {**found, "power": None}  # type: ignore[dict-item]
        if kind == "packets":
            return await BootPackets(self._state / "netboot", lambda: 60.0).read(str(body["board"]), body)
        if kind == "console-lines":
            console = self._kept_console
            return last_lines({"pc-1": console} if console is not None else {})
        if kind in CONSOLE_REQUESTS and self._kept_console is not None:
            return await CONSOLE_REQUESTS[kind](self._kept_console, body)
        if kind == "console-log":
            return {"data": base64.b64encode(b"Linux version 6.1\r\nlogin: ").decode()}
        raise RequestRefusedError(f"no such request: {kind}")

    async def _try_wires(self, body: Document) -> Document:
        """Tell of one wire at once and of the other only with the answer."""
        board = str(body["board"])
        good = {"what": f"power on of {board}", "ok": True, "text": "reads on", "advice": ""}
        bad = {"what": f"console of {board}", "ok": False, "text": "silent", "advice": "look at the wire"}
        data: Document = {"check": body["check"], **good}
        await self._link.publish(TraceEvent(time.time(), "check", "step", "x", board, data=data).to_json())
        await self._told("proceed")
        rows = [good] if board == "pc-1" else [good, bad]
        return {"ok": len(rows) == 1, "crossed": [], "interrupted": "", "checks": rows}  # type: ignore[dict-item]

    async def _console(self, kind: str, body: Document, stream: Stream) -> None:
        if kind == "console" and self._kept_console is not None:
            await serve_console(self._kept_console, body, stream)
            return
        if kind != "console" or self._terminal is None:
            raise RequestRefusedError("the console is not connected")
        terminal, loop = self._terminal, asyncio.get_running_loop()
        writes = body["mode"] == "write"
        notice = b'{"event":"attached","writer":%s,"replay":6}' % (b"true" if writes else b"false")
        await stream.write(pack(COMMAND, notice) + pack(BYTES, b"before"))
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        loop.add_reader(terminal, lambda: arrived.put_nowait(os.read(terminal, 4096)))

        async def show() -> None:
            while True:
                await stream.write(pack(BYTES, await arrived.get()))

        showing = asyncio.ensure_future(show())
        unpacker = Unpacker()
        try:
            while data := await stream.read():
                for channel, payload in unpacker.feed(data):
                    if channel == BYTES and writes:
                        os.write(terminal, payload)
        finally:
            loop.remove_reader(terminal)
            showing.cancel()


def _keep(wire: ConsoleDriver | None, folder: Path) -> RackConsole | None:
    if wire is None:
        return None
    return RackConsole("pc-1", wire, folder, None, lambda _: None, lambda *_: None)


@dataclass(frozen=True, slots=True)
class SimulatedLab:
    """A running server; ``settings`` are the admin's."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find the server."""
        return {"HOSTLER_URL": self.settings.url, "HOSTLER_TOKEN": self.settings.token}


@contextmanager
def simulated_lab(
    state: Path, terminal: int | None = None, wire: ConsoleDriver | None = None
) -> Iterator[SimulatedLab]:
    """Run the server in a thread of its own until the block ends.

    The console of pc-1 is a terminal, or kept on a wire as a rack keeps it.
    """
    ready: list[str] = []
    told = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    trouble: list[BaseException] = []
    listener = socket.create_server(("127.0.0.1", 0))
    state.mkdir()

    async def serve() -> None:
        database = Database(state / "hostler.db")
        link = InProcessLink(state / "link.db")
        files = StoreFiles(ImageStore(state / "images"))
        hub = Hub(database, link, files, state / "spool", reveal=reveal_secret)
        server = uvicorn.Server(uvicorn.Config(create_app(hub), log_config=None, lifespan="off"))
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(hub.run()),
                    tasks.create_task(
                        SimulatedRack(link, terminal, _keep(wire, state / "console"), state).run()
                    ),
                ]
                await hub.started.wait()
                token = await hub.first_token()
                await hub.apply_inventory(HUB, LAB, file="lab.toml")
                assert token is not None
                serving = tasks.create_task(server.serve(sockets=[listener]))
                ready.append(token)
                told.set()
                await stop.wait()
                server.should_exit = server.force_exit = True
                await asyncio.wait({serving}, timeout=5)
                for task in (*running, serving):
                    task.cancel()
        finally:
            await link.close()
            database.close()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            trouble.append(error)
        finally:
            told.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert told.wait(20)
        assert ready, trouble
        lab = SimulatedLab(Settings(f"http://127.0.0.1:{listener.getsockname()[1]}", ready[0]))
        agent = state / "agent"
        agent.write_bytes(b"kernel and initramfs")
        with Client(lab.settings) as client:
            for arch in ("amd64", "arm64"):
                client.register_agent(arch, agent, agent)
        yield lab
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        listener.close()
        loop.close()
    assert not trouble, trouble
