"""A console over WebSocket, with a real client and a rack at the other end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from served_lab import served
from simulated_rack import until


def console(api, token, board="pc-1", mode="write"):
    url = f"{api.url.replace('http', 'ws')}/api/v1/boards/{board}/console?mode={mode}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return connect(url, additional_headers=headers, proxy=None)


async def test_bytes_and_notices_cross(tmp_path: Path):
    """First the notice, then the replay, then whatever either side says, each on its channel."""
    async with served(tmp_path) as api:
        await api.anna.post("/claims", json={"class": "pc"})
        await until(lambda: "pc-1" in api.lab.rack.boards)
        async with console(api, api.tokens["anna"]) as socket:
            notice = await socket.recv()
            assert notice[0] == 0
            assert json.loads(notice[1:]) == {"event": "attached", "writer": True, "replay": 3}
            assert await socket.recv() == b"\x01abc"
            await socket.send(b"\x01hello")
            assert await socket.recv() == b"\x01HELLO"
            await socket.send(b'\x00{"cmd":"take"}')
            await until(lambda: b'{"cmd":"take"}' in api.lab.rack.typed)
            await socket.send(b"\x01quit")
            with pytest.raises(ConnectionClosed) as closed:
                await drain(socket)
            assert closed.value.rcvd.code == 1000
        assert api.lab.rack.opened[0]["principal"] == "anna"
        opened = api.lab.rack.opened[0]
        assert opened["claim"] == api.lab.hub.state.boards["pc-1"].claim
        assert (opened["admin"], opened["may_write"]) == (False, True)


async def drain(socket):
    """Read until the socket is closed."""
    while True:
        await socket.recv()


@pytest.mark.parametrize(
    ("who", "board", "code"),
    [
        (None, "pc-1", 4401),
        ("wrong", "pc-1", 4401),
        ("bert", "pc-1", 4403),
        ("admin", "none", 4404),
        ("admin", "pc-2", 4404),
    ],
)
async def test_refusals_are_close_codes(tmp_path: Path, who: str | None, board: str, code: int):
    """Whoever may not is told by the close code and a reason."""
    async with served(tmp_path) as api:
        await api.anna.post("/claims", json={"class": "pc"})
        async with console(api, api.tokens.get(who or "", who), board) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 5)
            assert closed.value.rcvd.code == code
            assert closed.value.rcvd.reason


async def test_a_viewer_that_goes_away_closes_the_stream(tmp_path: Path):
    """The rack's end is closed when the viewer goes, and bad messages end the session."""
    async with served(tmp_path) as api:
        await until(lambda: "pc-1" in api.lab.rack.boards)
        async with console(api, api.tokens["admin"]):
            await until(lambda: len(api.lab.link._open) == 1)
        await until(lambda: not api.lab.link._open)
        async with console(api, api.tokens["admin"]) as socket:
            await socket.send("text")
            with pytest.raises(ConnectionClosed) as closed:
                await drain(socket)
            assert closed.value.rcvd.code == 1003


async def test_who_gives_a_board_back_has_no_hands_on_it(tmp_path: Path):
    """While a board is wiped its last holder may not type: what boots could be chosen so that it lies."""
    async with served(tmp_path, hang=True) as api:
        claim = (await api.anna.post("/claims", json={"class": "pc"})).json()
        await until(lambda: "pc-1" in api.lab.rack.boards)
        assert (await api.anna.delete(f"/claims/{claim['id']}")).json()["state"] == "releasing"
        for mode in ("read", "write"):
            async with console(api, api.tokens["anna"], mode=mode) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(socket.recv(), 5)
                assert closed.value.rcvd.code == 4403
        async with console(api, api.tokens["admin"]) as socket:
            assert json.loads((await socket.recv())[1:])["event"] == "attached"
