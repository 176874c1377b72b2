"""Somebody who does what the files of the manual driver ask, without understanding more than they say."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def somebody(folder: Path) -> AsyncIterator[None]:
    """Run every request's last line in a shell, as it stands there."""

    async def watch() -> None:
        done = set()
        while True:
            for request in folder.glob("*.please"):
                with suppress(FileNotFoundError):
                    version = (request, request.stat().st_mtime_ns)
                    if version not in done:
                        done.add(version)
                        subprocess.run(["sh", "-c", request.read_text().strip().splitlines()[-1]], check=True)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
