"""What the door for captures takes from a board that does not mean well."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import pytest
import zstandard
from aiohttp import web

from hostler.model.capture_spool import spool_name
from hostler.netboot.capture_door import CaptureDoor
from hostler.netboot.refused import Refused
from hostler.netboot.table import Target

if TYPE_CHECKING:
    from pathlib import Path

STEP = {"run": "r-1", "step": 0, "kind": "capture", "params": {"limit": 1 << 30}}


@pytest.mark.parametrize("tail", [b"\0", zstandard.ZstdCompressor().compress(b"more")])
async def test_a_chunk_is_one_frame_and_nothing_behind_it(tmp_path: Path, tail: bytes) -> None:
    """A tail would go into the exports of everybody whose image has the chunk; the frame alone is taken."""
    plain = b"a chunk" * 1000
    frame = zstandard.ZstdCompressor().compress(plain)
    digest = hashlib.sha256(plain).hexdigest()
    door = CaptureDoor(tmp_path)
    target = Target("b1", "x86-bios", "amd64", (), boot="boot-1", step=STEP)

    async def answer(request: web.BaseRequest) -> web.Response:
        try:
            return await door.handle(request, f"chunk/{digest}", target)
        except Refused as refused:
            return web.Response(status=refused.status, text=str(refused))

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        kept = tmp_path / "tmp" / spool_name("r-1", 0) / digest
        async with aiohttp.ClientSession() as client:
            async with client.post(url, data=frame + tail) as response:
                assert response.status == HTTPStatus.UNPROCESSABLE_ENTITY
                assert "unused data" in await response.text()
            assert not kept.exists()
            async with client.post(url, data=frame) as response:
                assert response.status == HTTPStatus.NO_CONTENT
        assert kept.read_bytes() == frame
    finally:
        await runner.cleanup()
        door.close()
