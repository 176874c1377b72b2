"""A console over WebSocket, with a real client and a rack at the other end."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hostler.api.console_routes import _bridge
from hostler.link.frames import pack
from hostler.link.memory_stream import MemoryStream
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
                await asyncio.wait_for(socket.recv(), 60)
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


async def test_who_types_and_goes_away_at_once_is_no_fault() -> None:
    """Its last words come in at the moment in which what the board says finds out that it has gone."""
    left = asyncio.Event()
    sent: list[str] = []

    async def receive() -> Message:
        if not sent:
            return {"type": "websocket.connect"}
        await left.wait()
        return {"type": "websocket.receive", "bytes": b"\x01last"}

    async def send(message: Message) -> None:
        sent.append(message["type"])
        if message["type"] == "websocket.send":
            left.set()
            raise OSError("gone")

    socket = WebSocket({"type": "websocket"}, receive, send)
    await socket.accept()
    near, far = MemoryStream.pair()
    await far.write(pack(1, b"login: "))
    async with asyncio.timeout(60):
        await _bridge(socket, near)
    assert sent == ["websocket.accept", "websocket.send"]


async def test_who_gives_a_board_back_has_no_hands_on_it(tmp_path: Path):
    """While a board is wiped its last holder may not type: what boots could be chosen so that it lies."""
    async with served(tmp_path, hang=True) as api:
        claim = (await api.anna.post("/claims", json={"class": "pc"})).json()
        await until(lambda: "pc-1" in api.lab.rack.boards)
        assert (await api.anna.delete(f"/claims/{claim['id']}")).json()["state"] == "releasing"
        for mode in ("read", "write"):
            async with console(api, api.tokens["anna"], mode=mode) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(socket.recv(), 60)
                assert closed.value.rcvd.code == 4403
        async with console(api, api.tokens["admin"]) as socket:
            assert json.loads((await socket.recv())[1:])["event"] == "attached"


async def test_a_share_that_becomes_one_for_reading_takes_the_keyboard(tmp_path: Path):
    """What a share allows counts when somebody types, not when they joined; looking on is left to them."""
    async with served(tmp_path) as api:
        claim = (await api.anna.post("/claims", json={"class": "pc"})).json()["id"]
        await until(lambda: "pc-1" in api.lab.rack.boards)
        await api.anna.put(f"/claims/{claim}/shares/bert", json={"sharing": "write"})
        async with console(api, api.tokens["bert"]) as socket:
            await socket.send(b"\x01first")
            await until(lambda: b"first" in api.lab.rack.typed)
            await api.anna.put(f"/claims/{claim}/shares/bert", json={"sharing": "read"})
            await socket.send(b'\x00{"cmd":"take"}')
            async with asyncio.timeout(60):
                said = [message async for message in socket]
        assert "may not type" in json.loads(said[-1][1:])["text"]
        assert b'{"cmd":"take"}' not in api.lab.rack.typed
        async with console(api, api.tokens["bert"]) as socket:
            assert json.loads((await socket.recv())[1:])["event"] == "attached"
        assert api.lab.rack.opened[-1]["mode"] == "read"


async def asked(api, kind):
    """Return what the rack was asked for last of a kind."""
    return [body for what, body in api.lab.rack.requests if what == kind][-1]


async def booted(api) -> str:
    """Let anna hold pc-1 in its first boot; returns her claim."""
    claim = (await api.anna.post("/claims", json={"class": "pc"})).json()["id"]
    await until(lambda: api.lab.rack.boards["pc-1"].desired.claim == claim)
    await api.lab.rack.boot(api.lab.rack.boards["pc-1"], "agent")
    await until(lambda: api.lab.hub.state.boards["pc-1"].boot)
    return str(claim)


async def test_a_log_is_asked_for_by_boot_claim_and_time(tmp_path: Path):
    """The rack is asked for what is the caller's to read and no more; an admin is not narrowed."""
    async with served(tmp_path) as api:
        claim = await booted(api)
        assert (await api.anna.get("/boards/pc-1/console/log")).content == b"hello"
        boot = api.lab.rack.boards["pc-1"].observed.boot.id
        wanted = {"board": "pc-1", "boot": boot, "claims": [claim], "since": None, "tail": None}
        assert await asked(api, "console-log") == wanted
        await api.admin.get("/boards/pc-1/console/log?tail=5")
        assert await asked(api, "console-log") == {**wanted, "claims": None, "tail": 5}
        await api.anna.get(f"/boards/pc-1/console/log?claim={claim}&since=1700000000")
        assert await asked(api, "console-log") == {**wanted, "boot": None, "since": 1_700_000_000.0}
        await api.anna.get("/boards/pc-1/console/log?since=10m")
        body = await asked(api, "console-log")
        assert (body["boot"], body["claims"]) == (None, [claim])
        assert 0 <= time.time() - 600 - body["since"] < 60
        for path in ("console/log", f"console/log?claim={claim}", "console/log?since=10m&search=a"):
            assert (await api.bert.get(f"/boards/pc-1/{path}")).status_code == 403


async def test_a_search_answers_matches(tmp_path: Path):
    """Each match has time, number of its boot, offset and line; before any boot there is no number."""
    async with served(tmp_path) as api:
        await booted(api)
        found = (await api.anna.get("/boards/pc-1/console/log", params={"search": "a.*e"})).json()
        match = {"time": "1970-01-01T00:16:40.500Z", "boot": 1, "offset": 3, "line": "a line"}
        assert found == {"matches": [match, {**match, "boot": None}], "complete": True}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("search=%28", 422), ("search=%28%3F%3C%3Da%29b", 422), ("since=soon", 422), ("boot=0", 422),
        ("boot=99", 404), ("claim=none", 404), ("search=", 422),
    ],
)  # fmt: skip
async def test_a_log_nobody_can_give_is_refused(tmp_path: Path, query: str, status: int):
    """A bad pattern, time or boot is told as a problem that names it."""
    async with served(tmp_path) as api:
        await booted(api)
        answer = await api.admin.get(f"/boards/pc-1/console/log?{query}")
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_who_a_claim_is_shared_with_to_read_joins_without_the_keyboard(tmp_path: Path):
    """A share for reading opens the console and the log, but the rack is told that it never types."""
    async with served(tmp_path) as api:
        claim = await booted(api)
        for sharing, may_write in (("read", False), ("write", True)):
            put = await api.anna.put(f"/claims/{claim}/shares/bert", json={"sharing": sharing})
            assert put.status_code == 200, put.text
            async with console(api, api.tokens["bert"]) as socket:
                assert json.loads((await socket.recv())[1:])["writer"] is may_write
            assert api.lab.rack.opened[-1]["may_write"] is may_write
            assert (await api.bert.get("/boards/pc-1/console/log")).content == b"hello"
        assert (await api.anna.delete(f"/claims/{claim}/shares/bert")).status_code == 200
        assert (await asked(api, "console-kick"))["principal"] == "bert"
        assert (await api.bert.get("/boards/pc-1/console/log")).status_code == 403


async def test_a_notice_goes_to_the_boards_console(tmp_path: Path):
    """The hub can tell those at a console something, and end their sessions."""
    async with served(tmp_path) as api:
        await booted(api)
        await api.lab.hub.metal.notice("pc-1", "ten minutes are left")
        assert await asked(api, "console-notice") == {"board": "pc-1", "text": "ten minutes are left"}
        assert await api.lab.hub.metal.kick("pc-1", "anna", "bye") == 2
        assert await asked(api, "console-kick") == {"board": "pc-1", "principal": "anna", "text": "bye"}
