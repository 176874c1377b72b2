"""A board of files and a rack that speaks the real protocol over real HTTP from the real store."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hostler.agent.console import Console
from hostler.agent.disks import Machine
from hostler.agent.main import Agent
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.signed import NOBODY, Trust
from hostler.agent.work import Work
from hostler.images.store import ImageStore

TOKEN = "a-secret-of-this-boot"
DEADLINE = 20.0


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds; fail loudly if it does not in time."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, f"waited {DEADLINE} s for {what}"
        time.sleep(0.01)


@dataclass
class RackServer:
    """The boot listener's agent half. Steps are handed out in order; ``done`` or ``fail`` brings the next.

    Attributes:
        store: Serves indexes and chunks.
        steps: What is still to be done.
        posts: Every report in the order of arrival: kind and body.
        chunks: Every digest asked for.
        frame: Changes a frame before it is served; by default serves the file.
        status: What to answer to a kind of request instead, for example ``{"progress": 403}``.
        delay: Seconds each chunk takes.
        sticky: Hand out the same step even after its report, as a rack does that is slow to take note.
    """

    store: ImageStore
    steps: list[dict[str, Any]] = field(default_factory=list)
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)
    frame: Callable[[str, bytes], bytes] | None = None
    status: dict[str, int] = field(default_factory=dict)
    delay: float = 0.0
    sticky: bool = False
    port: int = 0

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=[ready])
        self._thread.start()
        assert ready.wait(DEADLINE)

    def stop(self) -> None:
        """Stop listening and close every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def reports(self, kind: str) -> list[dict[str, Any]]:
        """Return the bodies of all reports of a kind."""
        return [body for posted, body in self.posts if posted == kind]

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=2**20)
        app.router.add_get("/agent/step", self._step)
        app.router.add_post("/agent/{kind}", self._post)
        app.router.add_get("/agent/index/{id}", self._index)
        app.router.add_get("/agent/chunk/{digest}", self._chunk)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _check(self, request: web.Request, kind: str) -> None:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            raise web.HTTPUnauthorized
        if authorization != f"Bearer {TOKEN}":
            raise web.HTTPForbidden
        if status := self.status.get(kind):
            raise {403: web.HTTPForbidden, 404: web.HTTPNotFound, 503: web.HTTPServiceUnavailable}[status]

    async def _step(self, request: web.Request) -> web.Response:
        self._check(request, "step")
        return web.json_response(self.steps[0]) if self.steps else web.Response(status=204)

    async def _post(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        self._check(request, kind)
        body = await request.json()
        self.posts.append((kind, body))
        if kind in ("done", "fail") and self.steps and not self.sticky:
            current = self.steps[0]
            if (body["run"], body["step"]) == (current["run"], current["step"]):
                self.steps.pop(0)
        return web.Response(status=204)

    async def _index(self, request: web.Request) -> web.FileResponse:
        self._check(request, "index")
        return web.FileResponse(self.store.artefact_path(request.match_info["id"]))

    async def _chunk(self, request: web.Request) -> web.StreamResponse:
        self._check(request, "chunk")
        digest = request.match_info["digest"]
        self.chunks.append(digest)
        await asyncio.sleep(self.delay)
        path = self.store.chunk_path(digest)
        if self.frame is not None:
            return web.Response(body=self.frame(digest, path.read_bytes()))
        return web.FileResponse(path)


class RecordingPower:
    """Notes that the machine was to restart or turn off, and ends the agent's loop as that would."""

    def __init__(self, stop: threading.Event) -> None:
        self.left: list[str] = []
        self._stop = stop

    def reboot(self) -> None:
        """Note it."""
        self.left.append("reboot")
        self._stop.set()

    def poweroff(self) -> None:
        """Note it."""
        self.left.append("poweroff")
        self._stop.set()


class Board:
    """An agent in a thread, on a machine made of files."""

    def __init__(self, root: Path, server: RackServer) -> None:
        self.machine = Machine(sys=root / "sys", proc=root / "proc", dev=root / "dev")
        for directory in (self.machine.sys / "block", self.machine.proc, self.machine.dev):
            directory.mkdir(parents=True)
        self.stop = threading.Event()
        self.power = RecordingPower(self.stop)
        self.screen = io.StringIO()
        self._server = server

    def add_disk(self, name: str, size: int, content: bytes = b"", **attributes: str) -> Path:
        """Plug in a disk: its entry in sysfs and a file in its place in /dev."""
        entry = self.machine.sys / "block" / name
        for attribute, value in {"size": str(size // 512), "removable": "0", "ro": "0", **attributes}.items():
            (entry / attribute).parent.mkdir(parents=True, exist_ok=True)
            (entry / attribute).write_text(value + "\n")
        path = self.machine.dev / name
        path.write_bytes(content)
        with path.open("r+b") as file:
            file.truncate(size)
        return path

    def start(self, token: str = TOKEN, trust: Trust = NOBODY) -> None:
        """Let the agent run."""
        config = BootConfig(f"http://127.0.0.1:{self._server.port}", token, "board-1", "boot-1")
        console = Console(self.screen)
        rack = Rack(config, console, self.stop)
        agent = Agent(config, rack, console, self.machine, self.power, self.stop, trust)
        self._thread = threading.Thread(target=agent.run)
        self._thread.start()

    def finish(self) -> None:
        """Stop the agent if it still runs and wait for its end."""
        self.stop.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def marks(self, event: str) -> list[dict[str, Any]]:
        """Return the marker lines of a kind that were printed."""
        lines = [line for line in self.screen.getvalue().splitlines() if line.startswith("@hostler ")]
        parsed = [json.loads(line.removeprefix("@hostler ")) for line in lines]
        return [line for line in parsed if line["event"] == event]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store."""
    return ImageStore(tmp_path / "store")


@pytest.fixture
def server(store: ImageStore) -> Iterator[RackServer]:
    """A listening rack."""
    server = RackServer(store)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def board(tmp_path: Path, server: RackServer) -> Iterator[Board]:
    """A board without disks, its agent not started yet."""
    board = Board(tmp_path / "board", server)
    yield board
    board.stop.set()


@pytest.fixture(name="until")
def until_fixture() -> Callable[[Callable[[], object], str], None]:
    """The function ``until``: tests cannot import from here."""
    return until


@pytest.fixture
def work() -> Work:
    """A step under way whose log nobody reads."""
    return Work(lambda _line: None)
