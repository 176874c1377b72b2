"""Real servers in front of serial lines: ser2net on a free port of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def listens(port: int) -> None:
    """Return as soon as something accepts connections on a port of loopback."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.transport.abort()
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def program(*argv: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a server for as long as the block lasts."""
    nothing = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(*argv, stdin=nothing, stdout=nothing, stderr=nothing)
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await server.wait()


@asynccontextmanager
async def ser2net(
    folder: Path, accepter: str, device: Path
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """Serve a device through ser2net; yields the port and the process."""
    port = free_port()
    (folder / "ser2net.yaml").write_text(
        f"connection: &line\n  accepter: {accepter},tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},115200n81,local\n  options:\n    kickolduser: true\n"
    )
    argv = ("ser2net", "-n", "-u", "-c", str(folder / "ser2net.yaml"), "-P", str(folder / "ser2net.pid"))
    async with program(*argv) as server:
        await listens(port)
        await asyncio.sleep(0.05)  # it opens the device for that visit, and must let go of it
        yield port, server
