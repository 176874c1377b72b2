"""TCP to boards: where a board is, how it is reached inside its network namespace, and what is carried."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from netboot_peers import pid_in

from hostler.images.store import ImageStore
from hostler.link.documents import to_document
from hostler.link.frames import BYTES, COMMAND, Unpacker, pack
from hostler.link.inprocess import InProcessLink
from hostler.link.memory_stream import MemoryStream
from hostler.link.port import LinkError, RequestRefusedError, Stream
from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.seam import Desired, RackPlan
from hostler.netboot.lease_journal import LeaseJournal
from hostler.netboot.leases import Lease, LeaseState
from hostler.rack.board_tcp import carry, connect, leased_address, serve_tcp
from hostler.rack.rack import Rack
from hostler.rack.store import RackStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netns import Lan

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


def lease(address: str, mac: str, state: LeaseState = LeaseState.BOUND) -> Lease:
    return Lease(socket.inet_aton(address), mac, state, 0.0)


def journal(path: Path, *leases: Lease) -> Path:
    """Write a journal as the DHCP server does."""
    written: LeaseJournal[None] = LeaseJournal(path, lambda: None)
    written.open(b"".join(one.record() for one in leases))
    written.close()
    return path


@contextmanager
def upper_case() -> Iterator[int]:
    """Serve upper case on a port of loopback; says goodbye after its client has said its last."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                made, _ = listener.accept()
            except OSError:
                return
            with made:
                while data := made.recv(65536):
                    made.sendall(data.upper())
                made.sendall(b"bye")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


async def heard(stream: Stream) -> tuple[bytes, bool]:
    """Read until the board has said its last; returns its bytes and whether it said so."""
    unpacker, text = Unpacker(), b""
    while data := await asyncio.wait_for(stream.read(), 60):
        for channel, payload in unpacker.feed(data):
            if channel == COMMAND:
                return text, json.loads(payload) == {"event": "eof"}
            text += payload
    return text, False


async def test_bytes_go_both_ways_and_each_way_ends_by_itself():
    """The board answers after the holder has said its last, and its end is told."""
    with upper_case() as port:
        mine, theirs = MemoryStream.pair()
        serving = asyncio.ensure_future(serve_tcp({"port": port}, "127.0.0.1", (), None, None, theirs))
        await mine.write(pack(BYTES, b"hello ") + pack(BYTES, b"board"))
        await mine.write(pack(COMMAND, b'{"event": "eof"}'))
        assert await heard(mine) == (b"HELLO BOARDbye", True)
        await mine.close()
        await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 60)


async def test_a_stream_that_is_closed_closes_the_connection():
    """When the holder has gone, the board sees the end at once."""
    board, rack = socket.socketpair()
    board.settimeout(60)
    mine, theirs = MemoryStream.pair()
    serving = asyncio.ensure_future(carry(rack, theirs))
    await mine.write(pack(BYTES, b"x"))
    assert await asyncio.to_thread(board.recv, 10) == b"x"
    await mine.close()
    await asyncio.wait({serving}, timeout=60)
    assert serving.done()
    assert await asyncio.to_thread(board.recv, 10) == b""
    assert serving.exception() is None or isinstance(serving.exception(), LinkError)
    board.close()


@pytest.mark.parametrize("port", [0, 65536, "22", None, True])
async def test_what_is_no_port_is_refused(port: object):
    """A request that names no TCP port is refused before anything is tried."""
    _, theirs = MemoryStream.pair()
    with pytest.raises(RequestRefusedError, match="is no TCP port"):
        await serve_tcp({"port": port}, "127.0.0.1", (), None, None, theirs)  # type: ignore[dict-item]


async def test_a_board_that_refuses_is_told():
    """The text names where it was looked for, and why it failed."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(RequestRefusedError, match=f"127.0.0.1 port {port}: Connection refused"):
        await connect("127.0.0.1", port, None)


async def test_a_board_without_an_address_is_told(tmp_path: Path):
    """A board that has asked for no address cannot be reached, and that is said."""
    _, theirs = MemoryStream.pair()
    with pytest.raises(RequestRefusedError, match="no address"):
        await serve_tcp({"port": 22}, None, (MAC,), tmp_path / "leases", None, theirs)


def test_the_address_is_the_one_leased_last(tmp_path: Path):
    """Of several leases the last counts, unless somebody else has got the address since."""
    assert leased_address(None, (MAC,)) is None
    path = journal(tmp_path / "leases", lease("10.77.0.100", MAC), lease("10.77.0.101", OTHER))
    assert leased_address(path, (MAC,)) == "10.77.0.100"
    assert leased_address(path, ("52:54:00:00:00:09",)) is None
    path = journal(tmp_path / "moved", lease("10.77.0.100", MAC), lease("10.77.0.102", MAC))
    assert leased_address(path, (MAC,)) == "10.77.0.102"
    path = journal(tmp_path / "taken", lease("10.77.0.100", MAC), lease("10.77.0.100", OTHER))
    assert leased_address(path, (MAC,)) is None
    path = journal(
        tmp_path / "given", lease("10.77.0.100", MAC), lease("10.77.0.100", MAC, LeaseState.RELEASED)
    )
    assert leased_address(path, (MAC,)) is None
    (tmp_path / "noise").write_bytes(b"not a journal")
    with pytest.raises(RequestRefusedError, match="not a lease journal"):
        leased_address(tmp_path / "noise", (MAC,))


async def test_a_namespace_that_is_gone_is_told(tmp_path: Path):
    """No pid, or the pid of nobody: refused in words."""
    with pytest.raises(RequestRefusedError, match="cannot be reached"):
        await connect("10.77.0.2", 22, tmp_path / "pid")
    (tmp_path / "pid").write_text("4194304")
    with pytest.raises(RequestRefusedError, match="cannot be reached"):
        await connect("10.77.0.2", 22, tmp_path / "pid")


@pytest.mark.netns
async def test_a_board_in_another_namespace_is_reached(lan: Lan, tmp_path: Path):
    """The connection is made where the board's network is, though the rack lives elsewhere."""
    lan.client.run("ip", "address", "add", "10.77.0.11/24", "dev", "cli0")
    with lan.client.entered():
        listener = socket.create_server(("10.77.0.11", 0))
    with pid_in(lan, tmp_path) as pidfile:
        with listener:
            port = listener.getsockname()[1]
            made = await connect("10.77.0.11", port, pidfile)
            there, (address, _) = await asyncio.to_thread(listener.accept)
            assert address == "10.77.0.1"
            with made, there:
                await asyncio.get_running_loop().sock_sendall(made, b"hello")
                assert await asyncio.to_thread(there.recv, 10) == b"hello"
        with pytest.raises(RequestRefusedError, match="Connection refused"):
            await connect("10.77.0.11", port, pidfile)


@pytest.mark.netns
async def test_a_whole_rack_reaches_the_address_it_has_leased(lan: Lan, tmp_path: Path):
    """A board that got its address by DHCP is found there, through the link, the rack and its own network."""
    script = tmp_path / "bound.sh"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && ip address add "$ip/24" dev "$interface"\nexit 0\n')
    script.chmod(0o755)
    link, store = InProcessLink(tmp_path / "link.db"), RackStore(tmp_path / "rack.db")
    rack = Rack(link, store, ImageStore(tmp_path / "images"), tmp_path)
    running = asyncio.create_task(rack.run())
    try:
        with pid_in(lan, tmp_path) as pidfile:
            network = {
                "interface": "srv0", "address": "10.77.0.1/24", "range": "10.77.0.100-10.77.0.150",
                "dhcp": "own", "netns_pidfile": str(pidfile),
            }  # fmt: skip
            await link.desire("rack", to_document(RackPlan({"boot": network})))
            board = Board("b1", "pc", "boot", (lan.client_mac,), power=(Binding("fake"),))
            desired = Desired(board, "x86-bios", Lifecycle.CLAIMED, "c1")
            await link.desire("board/b1", to_document(desired))
            async with asyncio.timeout(60):
                while rack.netboot.trouble("boot"):
                    await asyncio.sleep(0.05)
            with pytest.raises(RequestRefusedError, match="no address"):
                await link.open_stream("tcp", {"board": "b1", "port": 22})
            await asyncio.to_thread(
                lan.client.run, "udhcpc", "-i", "cli0", "-s", str(script), "-n", "-q", "-f", timeout=20
            )
            with lan.client.entered():
                listener = socket.create_server(("0.0.0.0", 0))
            with listener:
                port = listener.getsockname()[1]
                stream = await link.open_stream("tcp", {"board": "b1", "port": port})
                there, _ = await asyncio.to_thread(listener.accept)
                with there:
                    there.sendall(b"from the board")
                    there.shutdown(socket.SHUT_WR)
                    assert await heard(stream) == (b"from the board", True)
                await stream.close()
    finally:
        running.cancel()
        await asyncio.wait({running})
        store.close()
        await link.close()
