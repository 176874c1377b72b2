"""Capturing with the real agent, HTTP door and store; disks made by the tools people use."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import zstandard
from aiohttp import web

from disk_files import MIB, Part, disk_of, ext4, piece, sound, text_in, tool
from hostler.agent.console import Console
from hostler.agent.main import Agent
from hostler.agent.rack import BootConfig, Rack
from hostler.build.tool_pack import PACK_NAME, build_tool_pack
from hostler.hub.captures import CHUNK_SIZE
from hostler.images.captured import drop_spools
from hostler.images.importer import CHUNK_SIZE as GRID
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.images.sweeping import sweep
from hostler.netboot.agent_door import AgentDoor
from hostler.netboot.refused import Refused
from hostler.netboot.table import BootTable, Target
from hostler.rack.captures import Captures

CACHE = Path(__file__).parents[2] / "var" / "cache"
TOKEN = "a-secret-of-this-boot"
SECONDS = 120.0


class Door:
    """The agent's door on loopback, a rack behind it that stores captures, and a table with one board.

    Attributes:
        step: What the board is to do.
        ended: Its word on the step, once it came: ``done`` or ``fail``, and the report.
        before_finish: Called each time before a capture is stored.
    """

    def __init__(self, store: ImageStore, tools: Path) -> None:
        self.store = store
        self.table = BootTable()
        self.tools = hashlib.sha256(tools.read_bytes()).hexdigest()
        self.table.put_artefact(self.tools, tools)
        self.ended: tuple[str, dict[str, Any]] | None = None
        self.over = threading.Event()
        self.before_finish = lambda: None
        self.sent: list[str] = []
        self.captures = Captures(store, lambda: {"r-1"})
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        assert ready.wait(SECONDS)

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)

    def say(self, run: str = "r-1", **params: Any) -> None:
        """Tell the board to capture."""
        self.ended = None
        self.over.clear()
        step = {
            "run": run, "step": 0, "kind": "capture",
            "params": {
                "disk": None, "clean": [], "tools": self.tools, "limit": 1 << 40, "chunk_size": GRID, **params
            },
        }  # fmt: skip
        self.table.put(Target("b1", "x86-bios", "amd64", (), boot="boot-1", token=TOKEN, step=step))

    def seen(self, *_: Any) -> None:
        pass

    async def report(self, kind: str, _board: str, _boot: str, body: Any) -> int:
        if kind == "capture":
            self.before_finish()
            return self.captures.finish(body["run"], body["step"], body["index"], smaller=False)
        if kind in ("done", "fail"):
            self.ended = kind, body
            self.table.put(Target("b1", "x86-bios", "amd64", (), boot="boot-1", token=TOKEN))
            self.over.set()
        return 204

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        door = AgentDoor(self.table, self.store.root, lambda _: None, lambda _: None, self, ())

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            path = request.path.removeprefix("/agent/")
            if path.startswith("capture/chunk/"):
                self.sent.append(path)
            try:
                return await door.handle(request, path, ip_address("127.0.0.1"))
            except Refused as refused:
                return web.Response(status=refused.status, text=f"{refused}\n")

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        keeping = asyncio.create_task(self.captures.run())
        await asyncio.sleep(0)
        ready.set()
        await self._stop.wait()
        keeping.cancel()
        await runner.cleanup()
        await door.close()


@pytest.fixture(scope="module")
def tools() -> Path:
    """The tool pack, of Debian's packages."""
    return build_tool_pack("amd64", CACHE / "built", CACHE)[PACK_NAME]


@pytest.fixture
def door(store: ImageStore, tools: Path) -> Iterator[Door]:
    """A listening door."""
    made = Door(store, tools)
    yield made
    made.close()


def plug_in(board: Any, disk: Path, places: list[tuple[int, int]]) -> Path:
    """Give a board this disk, its partitions in files of their own as the kernel has devices for them."""
    path = board.add_disk("vda", disk.stat().st_size)
    shutil.copyfile(disk, path)
    for number, place in enumerate(places, 1):
        entry = board.machine.sys / "block/vda" / f"vda{number}"
        entry.mkdir(exist_ok=True)
        for key, value in (("partition", number), ("start", place[0] // 512), ("size", place[1] // 512)):
            (entry / key).write_text(f"{value}\n")
        piece(disk, place, board.machine.dev / f"vda{number}")
    return path


def captured(board: Any, door: Door, **params: Any) -> dict[str, Any]:
    """Capture; returns the step's result, or fails with the agent's error."""
    kind, report = asked(board, door, **params)
    assert kind == "done", report["error"]
    return report["result"]


def asked(board: Any, door: Door, **params: Any) -> tuple[str, dict[str, Any]]:
    """Capture; returns what the agent said in the end."""
    door.say(**params)
    board.stop.clear()
    config = BootConfig(f"http://127.0.0.1:{door.port}", TOKEN, "b1", "boot-1")
    console = Console(board.screen)
    agent = Agent(config, Rack(config, console, board.stop), console, board.machine, board.power, board.stop)
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        assert door.over.wait(SECONDS), board.screen.getvalue()
    finally:
        board.stop.set()
        thread.join(SECONDS)
    assert door.ended is not None
    return door.ended


def laid_out(store: ImageStore, index: str, path: Path) -> Path:
    """Write an image of the store into a file."""
    with path.open("wb") as file:
        file.truncate(store.index(index).size)
        for chunk in store.index(index):
            frame = store.chunk_path(chunk.digest).read_bytes()
            file.seek(chunk.offset)
            file.write(zstandard.ZstdDecompressor().decompress(frame))
    return path


@pytest.fixture
def disk(tmp_path: Path) -> tuple[Path, list[tuple[int, int]]]:
    """A disk as systems have it: something unknown, FAT, ext4 with a deleted file, swap with secrets."""
    files = tmp_path / "files"
    (files / "etc").mkdir(parents=True)
    (files / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (files / "data").write_bytes(b"kept" * MIB)
    (files / "secret").write_bytes(b"deleted secret, " * (MIB // 4))
    root = ext4(tmp_path / "root", 96, files)
    tool("debugfs", "-w", "-R", "rm /secret", root)
    fat, swap, other = (tmp_path / name for name in ("fat", "swap", "other"))
    fat.write_bytes(bytes(8 * MIB))
    tool("mkfs.fat", fat)
    tool("mcopy", "-i", fat, files / "data", files / "etc/passwd", "::")
    tool("mdel", "-i", fat, "::data")  # what is left lies far behind
    swap.write_bytes(b"swapped secret, " * (MIB // 2))
    tool("mkswap", swap)
    other.write_bytes(b"who knows what this is" * 1000)
    path = tmp_path / "disk"
    places = disk_of(path, 160, [Part(2, other), Part(8, fat), Part(96, root), Part(8, swap, "swap")])
    return path, places


def test_what_is_in_use_becomes_the_image(
    disk: tuple[Path, list[tuple[int, int]]], board: Any, door: Door, tmp_path: Path
) -> None:
    """Files and boot sectors are there and sound; deleted files, swapped pages and unused room are not."""
    plug_in(board, *disk)
    assert CHUNK_SIZE == GRID
    result = captured(board, door)
    image = laid_out(door.store, result["index"], tmp_path / "image")
    # What lies behind the last partition is no part of it.
    assert 114 * MIB < image.stat().st_size < 118 * MIB
    assert "No problems found" in tool("sgdisk", "--verify", image)
    whole = image.read_bytes()
    assert b"deleted secret" in disk[0].read_bytes()
    assert b"deleted secret" not in whole
    assert b"swapped secret" not in whole
    places = disk[1]
    for number in (0, 1):
        before = piece(disk[0], places[number], tmp_path / "before")
        assert piece(image, places[number], tmp_path / "after").read_bytes() == before.read_bytes()
    root = piece(image, places[2], tmp_path / "root-after")
    sound(root)
    assert text_in(root, "/etc/passwd").startswith("root:")
    told = {part["number"]: part for part in result["partitions"]}
    assert [told[n]["content"] for n in (1, 2, 3, 4)] == ["unknown", "fat", "ext", "swap"]
    assert told[1]["note"] == "unknown is taken whole"
    assert told[2]["note"] == "fat is taken whole: its map is misread where it is a FAT12"
    assert told[3]["used"] < 40 * MIB
    assert "memory" not in told[3]["note"]


def test_only_what_the_rack_lacks_travels(
    disk: tuple[Path, list[tuple[int, int]]], board: Any, door: Door
) -> None:
    """Of a disk whose image is there nothing but the places with another table or file is sent."""
    path, places = disk
    known = import_image(path, door.store)
    with path.open("r+b") as file:  # one block of the file of four megabytes
        at = path.read_bytes().index(b"keptkeptkept")
        file.seek((at // MIB + 1) * MIB + 512)
        file.write(b"changed")
    plug_in(board, path, places)
    result = captured(board, door)
    changed = {chunk.digest for chunk in door.store.index(result["index"])} - {
        chunk.digest for chunk in door.store.index(known.index)
    }
    assert result["sent_chunks"] == len(door.sent) == len(changed)
    assert len(changed) < len(door.store.index(result["index"])) // 2
    assert captured(board, door, run="r-2")["sent_chunks"] == 0


def test_a_file_system_that_was_not_unmounted_is_taken_whole(
    disk: tuple[Path, list[tuple[int, int]]], board: Any, door: Door, tmp_path: Path
) -> None:
    """Its allocation map is not believed, and that is said; nothing is lost."""
    path, places = disk
    root = piece(path, places[2], tmp_path / "root-before")
    tool("debugfs", "-w", "-R", "feature needs_recovery", root)
    with path.open("r+b") as file:
        file.seek(places[2][0])
        file.write(root.read_bytes())
    plug_in(board, path, places)
    result = captured(board, door)
    part = next(part for part in result["partitions"] if part["number"] == 3)
    assert part["used"] == part["size"]
    assert "ext is taken whole: it was not unmounted" in part["note"]
    image = laid_out(door.store, result["index"], tmp_path / "image")
    assert piece(image, places[2], tmp_path / "a").read_bytes() == root.read_bytes()


def test_chunks_that_are_lost_on_the_way_are_sent_again(
    disk: tuple[Path, list[tuple[int, int]]], board: Any, door: Door, tmp_path: Path
) -> None:
    """When the spool is swept before the image is stored, as at a restart, what is missing is sent again."""
    plug_in(board, *disk)
    swept = []

    def lose() -> None:
        if not swept:
            swept.append(shutil.rmtree(door.store.tmp / "capture-r-1-0"))

    door.before_finish = lose
    result = captured(board, door)
    assert swept
    assert result["sent_chunks"] > result["chunks"]
    sound(piece(laid_out(door.store, result["index"], tmp_path / "image"), disk[1][2], tmp_path / "a"))


def test_a_capture_that_breaks_off_leaves_nothing(
    disk: tuple[Path, list[tuple[int, int]]], board: Any, door: Door
) -> None:
    """What was handed in stays while the run goes on, also over a restart, and goes with it."""
    path = plug_in(board, *disk)
    kind, report = asked(board, door, limit=8 * MIB)
    assert kind == "fail"
    assert (
        "larger than the board's disk" in report["error"] or "more than the board's disk" in report["error"]
    )
    spool = door.store.tmp / "capture-r-1-0"
    door.close()
    sweep(door.store)
    assert any(spool.iterdir())
    drop_spools(door.store, ())
    assert not list(door.store.tmp.iterdir())
    assert not [chunk for folder in door.store.chunk_directories() for chunk in folder.iterdir()]
    assert path.read_bytes() == disk[0].read_bytes()
