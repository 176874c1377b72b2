"""Boards that fetch an image from each other, with the agent's own client and a rack's boot listener."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import random
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from netboot_peers import NETWORK

from free_ports import free_port
from hostler.agent import peers as agent_peers
from hostler.agent.console import Console
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.peer_frames import Frames
from hostler.agent.peer_server import MOST_CONNECTIONS, MOST_OF_STRANGER, MOST_STRANGERS, PeerServer
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.work import Work
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.boot import BootIntent
from hostler.model.chunkindex import ChunkIndex
from hostler.model.peer_ticket import ticket
from hostler.model.swarm import SILENT_SECONDS
from hostler.netboot.http_server import BootHttp
from hostler.netboot.peers import Peers
from hostler.netboot.refused import Refused
from hostler.netboot.table import BootTable, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from hostler.model.json import Document
    from hostler.model.trace import TraceEvent

MIB = 1 << 20
SIZE = 40 * MIB
HERE = "127.0.0.1"
SHARING = replace(NETWORK, peers=True)
KEY = "ab" * 32


class Silent:
    """A rack that takes everything."""

    def seen(self, board: str, boot: str, at: float) -> None:
        del board, boot, at

    async def report(self, kind: str, board: str, boot: str, body: Document) -> int:
        del kind, board, boot, body
        return 204


class Site:
    """A rack's boot listener on loopback, an image in its store, and boards that are to install it."""

    def __init__(self, place: Path, boards: int) -> None:
        image = place / "image"
        image.write_bytes(random.Random(7).randbytes(SIZE))
        self.image = image.read_bytes()
        self.store = ImageStore(place / "store")
        self.index_id = import_image(image, self.store).index
        self.port = free_port()
        self.network = replace(
            SHARING, interface="lo", address=IPv4Interface("127.0.0.1/8"), range_first=None, range_last=None,
            http_port=self.port,
        )  # fmt: skip
        self.events: list[TraceEvent] = []
        self.place = place
        self.stop = threading.Event()
        self.from_rack = 0
        self.lines: list[str] = []
        self.lock = threading.Lock()
        self.table = BootTable()
        for number in range(boards):
            step: Document = {"run": "r", "step": 0, "kind": "install", "params": {"index": self.index_id}}
            self.table.put(
                Target(
                    f"b{number}", "x86-uefi", "amd64", (f"52:54:00:00:00:{number:02x}",),
                    intent=BootIntent.STEP, boot=f"boot-{number}", token=f"t{number}", step=step,
                )
            )  # fmt: skip
        self.http = self.listener()

    def listener(self) -> BootHttp:
        return BootHttp(
            self.table, [self.network], lambda _: None, self.events.append, Silent(),
            self.place / "store", lambda *_: None,
        )  # fmt: skip

    def rack(self, number: int, chunk_came: Callable[[], None] = lambda: None) -> Rack:
        site = self

        class Counted(Rack):
            """The agent's client, and how many chunks came from the rack to all boards."""

            def chunk(self, digest: str, into: memoryview) -> int:
                length = super().chunk(digest, into)
                with site.lock:
                    site.from_rack += 1
                chunk_came()
                return length

        config = BootConfig(f"http://{HERE}:{self.port}", f"t{number}", f"b{number}", f"boot-{number}")
        return Counted(config, Console(io.StringIO()), self.stop)

    def install(self, number: int, chunk_came: Callable[[], None] = lambda: None) -> Document:
        """Install on an empty disk; returns what the step reports."""
        rack = self.rack(number, chunk_came)
        index = ChunkIndex.decode(rack.index(self.index_id))
        disk = self.place / f"disk-{number}"
        with disk.open("wb") as file:
            file.truncate(SIZE)

        def say(text: str) -> None:
            self.lines.append(f"b{number} {text}")

        with Media(disk, write=True) as media:
            result = install(index, media, rack, Work(say), caller=rack, look=False).to_json()
        assert disk.read_bytes() == self.image
        return result

    def join(self, number: int, port: int) -> None:
        """Have a board say that it has all of the image and serves it at a port."""
        rack = self.rack(number)
        has = base64.b64encode(((1 << (SIZE // MIB)) - 1).to_bytes(5, "little")).decode()
        body: Document = {"port": port, "key": KEY, "has": has, "lacks": ""}
        answer = rack.peers(self.index_id, body, wait=True)
        assert answer is not None

    def told(self) -> list[str]:
        return [event.text for event in self.events if event.kind == "peers"]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Four boards that are to install an image, and their rack."""
    made = Site(tmp_path, 4)
    await made.http.start()
    yield made
    made.stop.set()
    await made.http.close()


async def together(site: Site, numbers: range, **more: Any) -> list[Document]:
    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.to_thread(site.install, number, **more)) for number in numbers]
    return [task.result() for task in tasks]


async def test_boards_fetch_an_image_from_each_other(site: Site) -> None:
    """All have it whole; the rack gave each chunk no more than twice, and what one got another gave."""
    results = await together(site, range(4))
    chunks = SIZE // MIB
    assert chunks <= site.from_rack <= 2 * chunks
    fetched, given = (sum(int(str(one[name])) for one in results) for name in ("peer_bytes", "given_bytes"))
    assert fetched == sum(int(str(one["fetched_bytes"])) for one in results) - frames_of(site, site.from_rack)
    assert fetched >= 2 * SIZE
    # What came too late was given all the same.
    assert given >= fetched
    told = site.told()
    assert sum("fetches the image from" in text for text in told) == 4
    assert sum("came from other boards" in text for text in told) == 4


def frames_of(site: Site, count: int) -> int:
    """Bytes of so many frames: noise has the same length in each."""
    digest = ChunkIndex.decode((site.place / "store/artefacts" / site.index_id).read_bytes()).distinct()[0]
    return count * (site.place / "store/chunks" / digest[:2] / digest).stat().st_size


async def test_a_board_alone_fetches_from_the_rack_as_ever(site: Site) -> None:
    """It serves nothing and nobody is told of others."""
    for number in range(1, 4):
        site.table.drop(f"b{number}")
    (result,) = await together(site, range(1))
    assert (site.from_rack, result["peer_bytes"], site.told()) == (SIZE // MIB, 0, [])


async def test_a_board_alone_on_its_network_is_told_of_no_others(site: Site) -> None:
    """Though boards of another network are to install the same image."""
    for number in range(1, 4):
        target = site.table.by_board(f"b{number}")
        assert target is not None
        site.table.put(replace(target, address=f"10.99.0.{number}"))
    (result,) = await together(site, range(1))
    assert (site.from_rack, result["peer_bytes"], site.told()) == (SIZE // MIB, 0, [])


@contextmanager
def liar() -> Iterator[int]:
    """A board whose chunks are others than it says."""
    frames = Frames(SIZE)
    wrong = zstandard.compress(random.Random(1).randbytes(MIB))
    for number in range(SIZE // MIB):
        frames.put(number, wrong)
    server = PeerServer(HERE, frames)
    server.key = KEY
    with server:
        yield server.port


@contextmanager
def mute() -> Iterator[int]:
    """A board that takes connections and says nothing."""
    with socket.create_server((HERE, 0)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def dead() -> Iterator[int]:
    """A board that is not there any more."""
    with socket.create_server((HERE, 0)) as listening:
        port = listening.getsockname()[1]
    yield port


@contextmanager
def dying() -> Iterator[int]:
    """A board whose power fails within every chunk."""
    over = threading.Event()
    with socket.create_server((HERE, 0)) as listening:
        listening.settimeout(0.2)

        def die() -> None:
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(10)
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + bytes(4096))

        thread = threading.Thread(target=die)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("bad", [liar, mute, dead, dying])
async def test_a_board_that_gives_nothing_right_is_left(site: Site, bad: Any) -> None:
    """Whoever it failed says so, once; two who say it spare the others; all get the image from elsewhere."""
    with bad() as port:
        await asyncio.to_thread(site.join, 3, port)
        await together(site, range(3))
    left = [text for text in site.told() if "takes nothing more from b3" in text]
    assert left
    assert site.from_rack <= 3 * SIZE // MIB


def test_two_boards_that_do_not_reach_each_other_notice() -> None:
    """Behind isolated ports there is only one other to try, and it is tried no more than a few times."""
    jobs: list[Document] = []
    lines: list[str] = []

    class Sending:
        """A rack that sends whoever asks to the one other board, whatever came of it before."""

        def peers(self, artefact: str, body: Document, *, wait: bool) -> Document | None:
            del artefact, wait
            if "session" not in body or len(jobs) == 100:
                return {"session": "s"} if not jobs else None
            jobs.append(body)
            return {"session": "s", "job": [0], "from": other}

        def address_here(self) -> str:
            return HERE

    class Nothing:
        def chunk(self, digest: str, into: memoryview) -> int:
            raise AssertionError(digest, into)

    with socket.socket() as deaf:
        deaf.bind((HERE, 0))
        other: Document = {"peer": 7, "host": HERE, "port": deaf.getsockname()[1], "ticket": KEY}
        with agent_peers.Peers(Sending(), "0" * 64, Nothing(), Work(lines.append), MIB) as peers:
            assert peers.fetch([0], [KEY], lambda *_: True) == {0}
    assert any("other boards gave nothing 3 times" in line for line in lines), lines
    assert len(jobs) < 100


async def test_a_restart_of_the_rack_costs_time_and_nothing_else(site: Site) -> None:
    """The boards join again with what they have."""
    halfway, restarted = threading.Event(), threading.Event()

    def chunk_came() -> None:
        if site.from_rack >= 8:
            halfway.set()
            assert restarted.wait(120)

    async def restart() -> None:
        assert await asyncio.to_thread(halfway.wait, 120)
        await site.http.close()
        site.http = site.listener()
        await site.http.start()
        restarted.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(restart())
        group.create_task(together(site, range(3), chunk_came=chunk_came))
    assert sum("fetches the image from" in text for text in site.told()) > 3


def asked(port: int, request: bytes) -> bytes:
    """Send bytes to a board and return its answer."""
    with socket.create_connection((HERE, port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        with suppress(ConnectionResetError):  # it closed with something unread
            while piece := connection.recv(65536):
                answer += piece
                if b"\r\n\r\n" in answer and b"Content-Length: 0" not in answer:
                    break
    return answer


def test_strangers_get_nothing_from_a_board() -> None:
    """No ticket, one for another address and one made with another key are refused; the right one is not."""
    frames = Frames(MIB)
    frames.put(5, b"a frame")
    with PeerServer(HERE, frames) as server:

        def get(shown: str, path: str = "/chunk/5") -> bytes:
            return asked(server.port, f"GET {path} HTTP/1.1\r\n{shown}Host: x\r\n\r\n".encode())

        bearer = "Authorization: Bearer {}\r\n".format
        assert get("").startswith(b"HTTP/1.1 403 ")
        assert get(bearer(ticket(server.key, "127.0.0.2"))).startswith(b"HTTP/1.1 403 ")
        assert get(bearer(ticket(KEY, HERE))).startswith(b"HTTP/1.1 403 ")
        assert get(bearer("x")).startswith(b"HTTP/1.1 403 ")
        assert get(bearer(ticket(server.key, HERE)), "/etc/passwd").startswith(b"HTTP/1.1 400 ")
        assert get(bearer(ticket(server.key, HERE))).endswith(b"\r\n\r\na frame")
    assert server.given_bytes == len(b"a frame")


def test_a_board_does_not_listen_to_more_than_a_request() -> None:
    """A kilobyte is the most, and one that comes byte by byte has no more time than another."""
    with PeerServer(HERE, Frames(MIB), request_seconds=0.5) as server:
        assert asked(server.port, b"GET /chunk/0 HTTP/1.1\r\nA: " + bytes(1021)) == b""
        with socket.create_connection((HERE, server.port), timeout=60) as slow:
            slow.settimeout(0.1)
            with suppress(ConnectionError):
                for _ in range(600):
                    slow.sendall(b"G")
                    with suppress(TimeoutError):
                        assert slow.recv(1) == b""
                        break
                else:
                    pytest.fail("it still listens")


def test_strangers_keep_no_board_from_being_served() -> None:
    """One has a few places, all of them together some; whoever has shown a ticket gets one of the rest."""
    frames = Frames(MIB)
    frames.put(0, b"x")

    def held(host: str) -> socket.socket:
        return stack.enter_context(socket.create_connection((HERE, server.port), 60, (host, 0)))

    def served(host: str) -> bool:
        with socket.create_connection((HERE, server.port), 60, (host, 0)) as connection:
            shown = f"Authorization: Bearer {ticket(server.key, host)}\r\n"
            with suppress(ConnectionError):
                connection.sendall(f"GET /chunk/0 HTTP/1.1\r\n{shown}\r\n".encode())
                return connection.recv(1024).startswith(b"HTTP/1.1 200 ")
        return False

    with PeerServer(HERE, frames, request_seconds=600) as server, ExitStack() as stack:
        assert served("127.0.0.2")
        idle = [held("127.0.0.3") for _ in range(MOST_OF_STRANGER)]
        assert not served("127.0.0.3")
        for number in range(MOST_STRANGERS - MOST_OF_STRANGER):
            held(f"127.0.1.{number}")
        assert not served("127.0.0.4")
        assert served("127.0.0.2")
        idle[0].close()
        for _ in range(600):
            if served("127.0.0.4"):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the place of one that has gone is not given to another")


def test_there_are_only_so_many_connections() -> None:
    """Whoever has shown a ticket gets no more than all of them."""
    frames = Frames(MIB)
    frames.put(0, b"x")
    with PeerServer(HERE, frames) as server, ExitStack() as stack:
        shown = f"Authorization: Bearer {ticket(server.key, HERE)}\r\n"
        request = f"GET /chunk/0 HTTP/1.1\r\n{shown}\r\n".encode()
        for _ in range(MOST_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection((HERE, server.port), 60))
            connection.sendall(request)
            assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")
        assert asked(server.port, request) == b""


def test_the_oldest_frames_go_when_there_is_no_room() -> None:
    """And it is told which, so that the rack sends nobody for them."""
    frames = Frames(10)
    assert frames.put(1, b"1234") == []
    assert frames.put(2, b"1234") == []
    assert frames.put(3, b"1234") == [1]
    assert (frames.get(1), frames.get(2), frames.numbers()) == (None, b"1234", [2, 3])
    assert frames.put(4, bytes(11)) == [2, 3, 4]


@pytest.fixture
def index(tmp_path: Path) -> ChunkIndex:
    """An image of four chunks."""
    entries = [(number, hashlib.sha256(bytes([number])).digest()) for number in range(4)]
    made = ChunkIndex.build(4 * 4096, 4096, entries)
    (tmp_path / made.id).write_bytes(made.encode())
    return made


def joining(has: bytes, lacks: bytes) -> Document:
    has_text, lacks_text = (base64.b64encode(bits).decode() for bits in (has, lacks))
    return {"port": 4000, "key": KEY, "has": has_text, "lacks": lacks_text}


async def test_boards_of_other_networks_are_not_told_of(tmp_path: Path, index: ChunkIndex) -> None:
    """Each network is for itself; nothing is offered on one that does not share, and before there are two."""
    peers = Peers(tmp_path.joinpath, lambda *_: None)
    other = replace(SHARING, name="other", address=IPv4Interface("10.78.0.1/24"))
    assert not peers.offered("b1", SHARING, index.id)
    assert not peers.offered("b2", other, index.id)
    assert not peers.offered("b3", NETWORK, index.id)
    assert not peers.offered("b3", None, index.id)
    assert peers.offered("b4", SHARING, index.id)

    there, here = IPv4Address("10.78.0.9"), IPv4Address("10.77.0.9")
    await peers.ask("b2", other, index.id, there, joining(b"\x0f", b""))
    first = await peers.ask("b1", SHARING, index.id, here, joining(b"", b"\x0f"))
    assert first is not None
    job = await peers.ask("b1", SHARING, index.id, here, {"session": first["session"], "most": 1})
    assert job is not None
    assert (job["job"], job["from"]) == ([0], None)

    await peers.ask("b5", SHARING, index.id, IPv4Address("10.77.0.5"), joining(b"\x0e", b"\x01"))
    job = await peers.ask("b1", SHARING, index.id, here, {"session": first["session"], "most": 1})
    assert job is not None
    source = job["from"]
    assert isinstance(source, dict)
    assert (source["host"], source["port"], source["ticket"]) == ("10.77.0.5", 4000, ticket(KEY, str(here)))
    assert await peers.ask("b3", NETWORK, index.id, here, joining(b"", b"")) is None


async def test_what_broke_off_with_a_board_that_left_is_fetched_at_once(
    tmp_path: Path, index: ChunkIndex
) -> None:
    """The board's number is known no more when somebody tells that it gave nothing."""
    # No time passes: after some a job of which nothing comes would be given to somebody else anyway.
    peers = Peers(tmp_path.joinpath, lambda *_: None, clock=lambda: 0.0)
    giver, here = IPv4Address("10.77.0.5"), IPv4Address("10.77.0.9")
    await peers.ask("b5", SHARING, index.id, giver, joining(b"\x0f", b""))
    joined = await peers.ask("b1", SHARING, index.id, here, joining(b"", b"\x01"))
    assert joined is not None
    job = await peers.ask("b1", SHARING, index.id, here, {"session": joined["session"], "most": 1})
    assert job is not None
    source = job["from"]
    assert isinstance(source, dict)
    await peers.ask("b5", SHARING, index.id, giver, {"leave": "it has everything"})
    failed: Document = {"chunks": [0], "from": source["peer"], "why": "connection reset"}
    told: Document = {"session": joined["session"], "failed": [failed], "most": 1}
    again = await peers.ask("b1", SHARING, index.id, here, told)
    assert again is not None
    assert (again["job"], again["from"]) == ([0], None)


async def test_what_broke_off_with_a_board_that_fell_silent_is_fetched_at_once(
    tmp_path: Path, index: ChunkIndex
) -> None:
    """Its power was cut, so it never left; where chunks take long, nobody waits for them so long again."""
    now = 0.0
    peers = Peers(tmp_path.joinpath, lambda *_: None, clock=lambda: now)
    giver, here = IPv4Address("10.77.0.5"), IPv4Address("10.77.0.9")
    await peers.ask("b5", SHARING, index.id, giver, joining(b"\x0f", b""))
    joined = await peers.ask("b1", SHARING, index.id, here, joining(b"", b"\x03"))
    assert joined is not None
    asks: Document = {"session": joined["session"], "most": 1}
    first = await peers.ask("b1", SHARING, index.id, here, asks)
    assert first is not None
    now = 8.0
    second = await peers.ask("b1", SHARING, index.id, here, {**asks, "got": first["job"]})
    assert second is not None
    assert isinstance(second["from"], dict)
    now = 8.0 + SILENT_SECONDS
    failed: Document = {"chunks": second["job"], "from": second["from"]["peer"], "why": "timed out"}
    again = await peers.ask("b1", SHARING, index.id, here, {**asks, "failed": [failed]})
    assert again is not None
    assert (again["job"], again["from"]) == (second["job"], None)


async def test_who_has_everything_waits_for_nothing(tmp_path: Path, index: ChunkIndex) -> None:
    """Of a board's workers the last ones ask when another has told already that nothing lacks."""
    peers = Peers(tmp_path.joinpath, lambda *_: None)
    here = IPv4Address("10.77.0.9")
    joined = await peers.ask("b1", SHARING, index.id, here, joining(b"", b"\x01"))
    assert joined is not None
    session = joined["session"]
    await peers.ask("b1", SHARING, index.id, here, {"session": session, "got": [0], "most": 0})
    late = asyncio.ensure_future(peers.ask("b1", SHARING, index.id, here, {"session": session, "most": 1}))
    await asyncio.sleep(0)  # all that an answer needs that waits for nothing
    assert late.done()
    answer = late.result()
    assert answer is not None
    assert answer["job"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"port": 70000, "key": KEY, "has": "", "lacks": ""},
        {"port": 4000, "key": "short", "has": "", "lacks": ""},
        {"port": 4000, "key": KEY, "has": "", "lacks": "EA=="},
        {"port": 4000, "key": KEY, "lacks": ""},
        {"got": [4]},
        {"got": "0"},
        {"got": [0] * 5000},
        {"failed": [{"chunks": []}] * 5000},
        {"failed": [{"chunks": [-1]}]},
        {"failed": [7]},
        {"most": True},
    ],
)
async def test_what_a_board_cannot_say_is_refused(tmp_path: Path, index: ChunkIndex, body: Document) -> None:
    """With an error that names it."""
    peers = Peers(tmp_path.joinpath, lambda *_: None)
    here = IPv4Address("10.77.0.9")
    joined = await peers.ask("b1", SHARING, index.id, here, joining(b"", b"\x0f"))
    assert joined is not None
    if "lacks" not in body and "key" not in body:
        body = {"session": joined["session"], **body}
    with pytest.raises(Refused, match="not wh"):
        await peers.ask("b1", SHARING, index.id, here, body)
