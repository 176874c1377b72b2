"""The wall of a large lab: how soon a change is seen, and what many who look cost the server.

    python benchmarks/wall.py [--boards 1000] [--viewers 50] [--changes 20] [--seconds 20] [--json FILE]

So many boards a second draw another number of watts and say a line on their consoles; the viewers follow all
boards and last lines as the page does. A change is timed from when the rack saw it, by the time it bears, to
its arrival at a viewer; lines are asked for once a second, so that theirs is not the same question.

Goals: a change within 100 ms (95 of 100), 15 % of a core for the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from control_plane import child, first_line, scratch
from hostler.api.app import create_app
from hostler.hub.database import Database
from hostler.hub.hub import Hub
from hostler.hub.records import HUB
from hostler.images.store import ImageStore
from hostler.link.documents import to_document
from hostler.link.inprocess import InProcessLink
from hostler.link.port import RequestRefusedError
from hostler.model.power import PowerReading, PowerState
from hostler.model.seam import Observed
from hostler.serve import spare_garbage_collector
from hostler.store_files import StoreFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostler.link.port import Stream
    from hostler.model.json import Document

GOAL_SECONDS, GOAL_SHARE = 0.100, 0.15
_LEAD = 3.0  # seconds until all viewers have all boards


def lab_toml(boards: int) -> str:
    """Return the inventory."""
    lines = [
        '[lab]\nname = "wall"\n[classes.c]\nplatform = "x86-bios"',
        '[networks.boot]\ninterface = "eth1"\naddress = "10.77.0.1/16"\ndhcp = "off"',
    ]
    lines += [
        f'[boards.b{number:04d}]\nclass = "c"\nmac = "52:54:00:00:{number // 256:02x}:{number % 256:02x}"\n'
        'power = { driver = "fake" }\nconsole = { driver = "fake" }'
        for number in range(boards)
    ]
    return "\n".join(lines)


class TalkativeRack:
    """Boards whose power draws another number of watts now and then, and whose consoles say something."""

    def __init__(self, link: InProcessLink, boards: int, changes: float) -> None:
        self._link = link
        self._seen = [Observed(f"b{number:04d}", console=True) for number in range(boards)]
        self._lines = [f"b{number:04d} login:" for number in range(boards)]
        self._changes = changes
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Change until cancelled."""
        self._link.serve(self.request, self._stream)
        await asyncio.gather(*(self._tell(number, 3.0) for number in range(len(self._seen))))
        self.ready.set()
        count = 0
        async with asyncio.TaskGroup() as keepers:
            while True:
                number = (count * 37) % len(self._seen)
                self._lines[number] = f"[{count:9d}.000000] systemd[1]: Started something of board {number}."
                keepers.create_task(self._tell(number, 3.0 + count % 50 / 10))
                count += 1
                await asyncio.sleep(1 / self._changes)

    async def _tell(self, number: int, watts: float) -> None:
        seen = self._seen[number] = replace(
            self._seen[number], power=PowerReading(PowerState.ON, watts, "fake"), at=time.time()
        )
        await self._link.observe(f"board/{seen.board}", to_document(seen))

    async def request(self, kind: str, _body: Document) -> Document:
        """Answer what the hub asks."""
        if kind != "console-lines":
            raise RequestRefusedError(f"unknown request {kind}")
        rows: list[Any] = [
            {"board": seen.board, "line": line, "at": seen.at, "claim": None}
            for seen, line in zip(self._seen, self._lines, strict=True)
        ]
        return {"lines": rows}

    async def _stream(self, kind: str, _body: Document, _stream: Stream) -> None:
        raise RequestRefusedError(f"unknown stream {kind}")


async def serve(
    directory: Path, boards: int, changes: float, *,
    inventory: Callable[[int], str] = lab_toml, rack_kind: type[TalkativeRack] = TalkativeRack,
) -> None:  # fmt: skip
    """Run hub, rack and API until killed; print the address and a token. Runs in a process of its own."""
    database = Database(directory / "hub.db")
    link = InProcessLink(directory / "link.db")
    hub = Hub(database, link, StoreFiles(ImageStore(directory / "store")), directory / "spool")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hub.run())
        await hub.started.wait()
        token = await hub.first_token()
        await hub.apply_inventory(HUB, inventory(boards))
        rack = rack_kind(link, boards, changes)
        tasks.create_task(rack.run())
        await rack.ready.wait()
        spare_garbage_collector()
        config = uvicorn.Config(create_app(hub), port=0, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = tasks.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        print(json.dumps({"port": port, "token": token, "pid": os.getpid()}), flush=True)
        await serving


async def look(port: int, token: str, pid: int, viewers: int, seconds: float) -> dict[str, float]:
    """Follow as many viewers do; return the times of changes and the server's share of a core."""
    late: list[float] = []
    lines = 0

    async def viewer(measured: bool) -> None:
        nonlocal lines
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        writer.write(
            b"GET /api/v1/boards?follow=true&lines=true HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Authorization: Bearer %s\r\n\r\n" % token.encode()
        )
        kind = b""
        while line := await reader.readline():
            if line.startswith(b"event: "):
                kind = line[7:].strip()
            elif measured and line.startswith(b"data: ") and time.monotonic() > begun:
                document = json.loads(line[6:])
                if kind == b"board":
                    late.append(time.time() - datetime.fromisoformat(document["power"]["at"]).timestamp())
                elif kind == b"said":
                    lines += 1
        writer.close()

    begun = time.monotonic() + _LEAD
    async with asyncio.TaskGroup() as tasks:
        # All read; parsing all would take the core from the server.
        running = [tasks.create_task(viewer(number == 0)) for number in range(viewers)]
        await asyncio.sleep(_LEAD)
        used = cpu_seconds(pid)
        await asyncio.sleep(seconds)
        used = cpu_seconds(pid) - used
        for task in running:
            task.cancel()
    late.sort()
    return {
        "changes": len(late), "lines": lines, "median": late[len(late) // 2],
        "p95": late[int(len(late) * 0.95)], "share": used / seconds,
    }  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """Return the seconds of processor a process has used (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", type=int, default=1000)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--changes", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        asyncio.run(serve(args.serve, args.boards, args.changes))
        return 0
    with tempfile.TemporaryDirectory(dir=scratch()) as directory:
        command = [sys.executable, __file__, "--serve", directory, "--boards", str(args.boards)]
        with child(*command, "--changes", str(args.changes), stdout=subprocess.PIPE) as server:
            at = json.loads(first_line(server))
            found = asyncio.run(look(at["port"], at["token"], at["pid"], args.viewers, args.seconds))
    print(f"{args.boards} boards, {args.viewers} viewers, {args.changes:g} changes and lines a second")
    median, late = found["median"] * 1000, found["p95"] * 1000
    print(f"  a change is seen after {median:.0f} ms, 95 of 100 after {late:.0f} ms")
    print(f"  the server takes {found['share']:.1%} of a core; one viewer heard {found['lines']:.0f} lines")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    return 0 if found["p95"] <= GOAL_SECONDS and found["share"] <= GOAL_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
