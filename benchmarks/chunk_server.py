"""The rack's side of an image measurement: chunks over HTTP by sendfile, in a process of its own.

python benchmarks/chunk_server.py STORE [HOST]   prints its port; ends when its standard input closes

The folder STORE is in is served too, under /files/: what the peers of the agent fetch.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from hostler.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKEN = "benchmark"


async def serve(store: ImageStore, host: str) -> None:
    async def chunk(request: web.Request) -> web.FileResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPForbidden
        return web.FileResponse(store.chunk_path(request.match_info["digest"]))

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(store.root.parent / request.match_info["name"])

    app = web.Application()
    app.router.add_get("/agent/chunk/{digest}", chunk)
    app.router.add_get("/files/{name}", file)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@dataclass(frozen=True)
class ChunkServer:
    """A running server: its port and how to read its CPU time."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Return user and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def chunk_server(store: Path, host: str = "127.0.0.1", entering: Sequence[str] = ()) -> Iterator[ChunkServer]:
    """Serve a store on ``host``, in the namespace that the command ``entering`` leads to."""
    arguments = [*entering, sys.executable, __file__, str(store), host]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield ChunkServer(int(process.stdout.readline()), process.pid)
        finally:
            process.stdin.close()
            process.wait(10)


def own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def no_stop() -> threading.Event:
    return threading.Event()


if __name__ == "__main__":
    asyncio.run(serve(ImageStore(Path(sys.argv[1])), sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"))
