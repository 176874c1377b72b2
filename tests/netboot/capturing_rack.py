"""A rack that stores what its board captures, for tests of the agent on a real kernel."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from imaging_board import ImagingBoard
from netboot_peers import Rack
from uefi_boards import CACHE

from hostler.build.tool_pack import PACK_NAME, build_tool_pack
from hostler.images.importer import CHUNK_SIZE
from hostler.images.store import ImageStore
from hostler.rack.captures import Captures


class CapturingRack(Rack):
    """Puts captures into a store as the real rack does."""

    def __init__(self, store: ImageStore) -> None:
        super().__init__()
        self.captures = Captures(store, lambda: {"r1"})

    async def report(self, kind: str, board: str, boot: str, body: Any) -> int:
        """Take a report; a capture is stored."""
        if kind == "capture":
            return self.captures.finish(body["run"], body["step"], body["index"], smaller=False)
        return await super().report(kind, board, boot, body)


@contextlib.asynccontextmanager
async def capturing(board: ImagingBoard) -> AsyncIterator[None]:
    """Serve a board whose rack is a ``CapturingRack``, which has the tools that captures need."""
    assert isinstance(board.rack, CapturingRack)
    storing = asyncio.create_task(board.rack.captures.run())
    try:
        async with board.served():
            yield
    finally:
        storing.cancel()


async def order_capture(board: ImagingBoard, *clean: str) -> None:
    """Tell a board to capture its disk."""
    pack = (await asyncio.to_thread(build_tool_pack, board.arch, CACHE / "built", CACHE))[PACK_NAME]
    tools = hashlib.sha256(pack.read_bytes()).hexdigest()
    board._child.put_artefact(tools, pack)
    board._steps += 1
    params = {
        "image": "new", "disk": None, "clean": list(clean), "tools": tools, "limit": 1 << 40,
        "chunk_size": CHUNK_SIZE, "shrink": False,
    }  # fmt: skip
    step = {"run": "r1", "step": board._steps, "kind": "capture", "params": params}
    board._child.put_target(replace(board._target, step=step))
