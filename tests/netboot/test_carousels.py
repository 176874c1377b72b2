"""The multicast carousel on a real network: the rack's sender and an agent's ear in two namespaces."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import threading
import time
from dataclasses import replace
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from netboot_peers import NETWORK

from hostler.agent.carousel import DEAF_SECONDS, REPORT_SECONDS, _joined, listen
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.work import Work
from hostler.model.chunkindex import ChunkIndex
from hostler.netboot.carousel_sender import CarouselSender
from hostler.netboot.carousels import IDLE_SECONDS, INTEREST_SECONDS, Carousels, lacking_of
from hostler.netboot.multicast_group import MulticastGroup
from hostler.netboot.refused import Refused
from hostler.wire.carousel import DATAGRAM, HEADER, Kind
from hostler.wire.carousel_receiver import Lacking, Receiver
from netns import CLIENT_INTERFACE, Lan, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostler.model.json import Document

MIB = 1 << 20
GRID = 64 * 1024
GROUP = MulticastGroup(IPv4Address("239.255.77.1"), 7707, 1e9, 1, 1)
HERE = replace(NETWORK, multicast=GROUP)


class Store:
    """An image's chunks as files, and who asked for them one by one."""

    def __init__(self, root: Path, image: bytes) -> None:
        self.root = root
        self.image = image
        self.fetched: list[str] = []
        entries = []
        for number in range(-(-len(image) // GRID)):
            plain = image[number * GRID : (number + 1) * GRID]
            digest = hashlib.sha256(plain)
            entries.append((number, digest.digest()))
            (root / digest.hexdigest()).write_bytes(zstandard.compress(plain))
        self.index = ChunkIndex.build(len(image), GRID, entries)
        (root / self.index.id).write_bytes(self.index.encode())

    def chunk(self, digest: str, into: memoryview) -> int:
        self.fetched.append(digest)
        frame = (self.root / digest).read_bytes()
        into[: len(frame)] = frame
        return len(frame)


def frames_in(root: Path) -> Callable[[str, str, Callable[[], None]], Path]:
    """Return what finds a chunk's frame, none of which is ever late."""
    return lambda _index, digest, _waits: root / digest


class Wire:
    """An agent's way to its rack, without HTTP between them."""

    def __init__(self, carousels: Carousels, board: str = "b1", network: Any = HERE) -> None:
        self._carousels = carousels
        self._board = board
        self._network = network
        self._lock = threading.Lock()
        self.bodies: list[Document] = []

    def carousel(self, artefact: str, body: Document) -> Document | None:
        with self._lock:
            self.bodies.append(body)
            return asyncio.run(self._carousels.ask(self._board, self._network, artefact, body))

    def ask(self, path: str) -> Document:
        assert path.startswith("/agent/turn/")
        return {"place": 0}

    def peers(self, artefact: str, body: Document, *, wait: bool) -> Document | None:
        """There are no other boards."""

    def address_here(self) -> str:
        return "10.77.0.2"

    @property
    def why_left(self) -> str:
        """What it said when it left the carousel."""
        return next(str(body["leave"]) for body in self.bodies if "leave" in body)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An image of 48 MiB, of which one chunk is there three times."""
    noise = random.Random(3).randbytes(48 * MIB - 2 * GRID)
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store", noise + 2 * noise[:GRID])


@pytest.fixture
def lan() -> Iterator[Lan]:
    """A rack and a board on one cable."""
    with joined(client_address="10.77.0.2/24") as cable:
        yield cable


@pytest.fixture
def carousels(store: Store, lan: Lan) -> Iterator[Carousels]:
    """Carousels whose senders are in the rack's namespace."""

    class There(Carousels):
        async def ask(self, *arguments: Any) -> Document | None:
            with lan.server.entered():
                return await super().ask(*arguments)

    made = There(lambda artefact: store.root / artefact, frames_in(store.root), lambda *_: None)
    yield made
    made.close()


def installed(store: Store, lan: Lan, wire: Wire, disk: Path) -> Any:
    """Install on a new disk, from the board's namespace."""
    with disk.open("wb") as file:
        file.truncate(store.index.size + MIB)
    results: list[Any] = []

    def run() -> None:
        with lan.client.entered(), Media(disk, write=True) as media:
            results.append(
                install(store.index, media, store, Work(lambda _line: None), caller=wire, workers=1)
            )

    # A thread of its own, all of whose threads are born in the namespace.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(120)
    assert results, "the installation failed"
    assert disk.read_bytes()[: len(store.image)] == store.image
    return results[0]


@pytest.mark.netns
def test_an_image_comes_out_of_the_carousel(
    store: Store, lan: Lan, carousels: Carousels, tmp_path: Path
) -> None:
    """All of it, for the agent asks first; each chunk comes once, whichever places it has."""
    wire = Wire(carousels)
    result = installed(store, lan, wire, tmp_path / "disk")
    assert store.fetched == []
    assert result.shared_bytes == result.fetched_bytes
    assert result.fetched_bytes == sum((store.root / one).stat().st_size for one in store.index.distinct())
    assert wire.why_left == "it has the whole image"


@pytest.mark.netns
def test_lost_fragments_are_sent_again(store: Store, lan: Lan, carousels: Carousels, tmp_path: Path) -> None:
    """One datagram in twenty does not arrive: the image does, out of the carousel alone."""
    lose(lan, 5)
    result = installed(store, lan, Wire(carousels), tmp_path / "disk")
    assert result.shared_bytes > 0.5 * result.fetched_bytes


@pytest.mark.netns
def test_no_multicast_costs_seconds(store: Store, lan: Lan, carousels: Carousels, tmp_path: Path) -> None:
    """Where nothing of it arrives, the agent says so and fetches by HTTP."""
    lose(lan, 100)
    wire = Wire(carousels)
    result = installed(store, lan, wire, tmp_path / "disk")
    assert result.shared_bytes == 0
    assert "nothing was heard" in wire.why_left


@pytest.mark.netns
def test_a_bad_cable_leaves_the_carousel(
    store: Store, lan: Lan, carousels: Carousels, tmp_path: Path
) -> None:
    """Who loses half of it holds up nobody: it fetches the rest by HTTP."""
    lose(lan, 50)
    wire = Wire(carousels)
    installed(store, lan, wire, tmp_path / "disk")
    assert wire.why_left  # for its losses, or because nothing came of them: whichever shows first


def lose(lan: Lan, share: int) -> None:
    """Have the board's network lose a share of what the carousel sends, in percent."""
    rule = f"numgen random mod 100 < {share} drop" if share < 100 else "drop"
    lan.client.run("nft", "add table netdev t")
    lan.client.run(
        "nft", f"add chain netdev t c {{ type filter hook ingress device {CLIENT_INTERFACE} priority 0 ; }}"
    )
    lan.client.run("nft", f"add rule netdev t c ip daddr {GROUP.address} {rule}")


@pytest.mark.netns
async def test_it_begins_when_enough_want_the_same(store: Store, carousels: Carousels) -> None:
    """Not for one board, nor for two that want other images, nor where the network has no group."""
    two = replace(HERE, multicast=replace(GROUP, boards=2))
    artefact = store.index.id
    assert await carousels.ask("b1", two, artefact, {}) is None
    assert await carousels.ask("b1", two, artefact, {}) is None
    assert await carousels.ask("b2", NETWORK, artefact, {}) is None
    assert await carousels.ask("b3", None, artefact, {}) is None
    offer = await carousels.ask("b2", two, artefact, {})
    assert offer is not None
    assert (offer["group"], offer["port"], offer["chunks"]) == ("239.255.77.1", 7707, 48 * 16 - 2)
    assert await carousels.ask("b1", two, artefact, {}) == offer
    assert INTEREST_SECONDS < 60


@pytest.mark.netns
def test_a_frame_that_is_damaged_at_the_rack_ends_no_better_by_multicast(
    store: Store, lan: Lan, carousels: Carousels
) -> None:
    """Nor one that it cannot read: the listener leaves with all the others, and asks for these by HTTP."""
    numbers = {digest: number for number, digest in enumerate(store.index.distinct())}
    digests = list(numbers)
    (store.root / digests[3]).unlink()
    damaged = bytearray((store.root / digests[5]).read_bytes())
    damaged[-1] ^= 1
    (store.root / digests[5]).write_bytes(damaged)
    wire = Wire(carousels)
    left: list[frozenset[int]] = []

    def take(number: int, frame: memoryview) -> bool:
        plain = zstandard.decompress(frame) if number != 5 else b""
        return hashlib.sha256(plain).hexdigest() == digests[number]

    def run() -> None:
        with lan.client.entered():
            offer = wire.carousel(store.index.id, {})
            assert offer is not None
            work = Work(lambda _line: None)
            left.append(listen(offer, range(50), 2 * GRID, wire, store.index.id, take, work, 1.0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert left == [frozenset({3, 5})]
    assert "nothing that lacks" in str(wire.bodies[-1]["leave"])


@pytest.mark.netns
def test_what_arrives_as_it_ends_is_not_lost(store: Store, lan: Lan, carousels: Carousels) -> None:
    """The carousel ends while frames wait for a slow disk: each was taken, or still lacks."""

    class Ending(Wire):
        def carousel(self, artefact: str, body: Document) -> Document | None:
            return None if len(self.bodies) > 3 else super().carousel(artefact, body)

    wire = Ending(carousels)
    wanted = range(len(store.index.distinct()))
    taken: set[int] = set()
    left: list[frozenset[int]] = []

    def take(number: int, _frame: memoryview) -> bool:
        time.sleep(0.02)
        taken.add(number)
        return True

    def run() -> None:
        with lan.client.entered():
            offer = wire.carousel(store.index.id, {})
            assert offer is not None
            work = Work(lambda _line: None)
            left.append(listen(offer, wanted, 2 * GRID, wire, store.index.id, take, work))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert taken
    assert left[0] == set(wanted) - taken


@pytest.mark.netns
def test_no_word_has_another_end_sent(lan: Lan) -> None:
    """All who hear of an end tell at once; if each word brought another end, that would never stop."""
    with lan.server.entered():
        sender = CarouselSender(5, GROUP, IPv4Address("10.77.0.1"), lambda *_: bytes(100))
    with lan.client.entered():
        ear = _joined(str(GROUP.address), GROUP.port, "10.77.0.2")
    ear.settimeout(60)
    lacks = Lacking(0, 1, {}, 0, 0)  # what it lacks is on its way, as far as it saw
    sender.start()
    try:
        sender.report("b1", lacks)
        ends: list[int] = []
        while len(ends) < 4:
            _, _, kind, _, turn, *_ = HEADER.unpack_from(ear.recv(65536))
            if kind == Kind.NOTHING:
                ends.append(turn)
                for _ in range(10):
                    sender.report("b1", lacks)
    finally:
        sender.stop()
        ear.close()
    assert ends == [2, 2, 2, 2]


@pytest.mark.netns
def test_a_chunk_that_is_late_makes_nobody_leave(lan: Lan) -> None:
    """While it comes from another server it is said that the turns before are over, and no more than that."""

    def late(_chunk: int, waits: Callable[[], None]) -> bytes:
        for _ in range(3):
            waits()
        return bytes(100)

    with lan.server.entered():
        sender = CarouselSender(5, GROUP, IPv4Address("10.77.0.1"), late)
    with lan.client.entered():
        ear = _joined(str(GROUP.address), GROUP.port, "10.77.0.2")
    ear.settimeout(60)
    sender.start()
    receiver = Receiver(5, [0], 1000)
    try:
        sender.report("b1", receiver.lacking())
        heard: list[tuple[int, int]] = []
        whole: list[tuple[int, memoryview]] = []
        while not whole:
            data = ear.recv(65536)
            heard += [HEADER.unpack_from(data, at)[2:5:2] for at in range(0, len(data), DATAGRAM)]
            whole = receiver.receive(memoryview(data))
            sender.report("b1", receiver.lacking())  # nothing of it is sent again
    finally:
        sender.stop()
        ear.close()
    assert heard == [*3 * [(Kind.NOTHING, 1)], (Kind.FRAGMENT, 1)]
    assert receiver.heard == 4


@pytest.mark.netns
def test_a_sender_that_waits_for_a_chunk_ends_at_once(lan: Lan) -> None:
    """What it waits for may come from the very loop that ends it."""
    waiting, ended = threading.Event(), threading.Event()

    def never(_chunk: int, waits: Callable[[], None]) -> bytes:
        try:
            while True:
                waits()
                waiting.set()
                time.sleep(0.05)
        finally:
            ended.set()

    with lan.server.entered():
        sender = CarouselSender(5, GROUP, IPv4Address("10.77.0.1"), never)
    sender.start()
    sender.report("b1", Lacking(0, 1, {}, 0, 0))
    assert waiting.wait(60)
    sender.end()
    assert ended.wait(60)
    sender.stop()


@pytest.mark.netns
def test_a_slow_disk_makes_nobody_leave(store: Store, lan: Lan, carousels: Carousels) -> None:
    """Who has heard it all and writes has nothing more to hear: it is not deaf."""
    wire = Wire(carousels)
    left: list[frozenset[int]] = []

    def take(_number: int, _frame: memoryview) -> bool:
        time.sleep(DEAF_SECONDS + 2 * REPORT_SECONDS)
        return True

    def run() -> None:
        with lan.client.entered():
            offer = wire.carousel(store.index.id, {})
            assert offer is not None
            work = Work(lambda _line: None)
            left.append(listen(offer, [0, 1], 2 * GRID, wire, store.index.id, take, work))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert left == [frozenset()]
    assert not any("leave" in body for body in wire.bodies)


@pytest.mark.netns
async def test_two_images_share_what_may_be_sent(store: Store, carousels: Carousels) -> None:
    """The rate is the network's, however many images are sent on it."""
    other = "0" * 64
    (store.root / other).write_bytes(store.index.encode())
    slow = replace(HERE, multicast=replace(GROUP, rate=8e7))
    assert await carousels.ask("b1", slow, store.index.id, {}) is not None
    assert await carousels.ask("b2", slow, other, {}) is not None
    assert [one.sender.rate for one in carousels._running.values()] == [4e7, 4e7]


async def test_who_asks_first_waits_a_moment_for_those_who_are_to_come(store: Store) -> None:
    """All are told at once when the second asks: none of them has fetched anything by itself then."""
    two = replace(HERE, address=IPv4Interface("127.0.0.1/8"), multicast=replace(GROUP, boards=2))
    carousels = Carousels(
        lambda artefact: store.root / artefact, frames_in(store.root), lambda *_: None, expected=lambda *_: 3
    )
    try:
        first = asyncio.create_task(carousels.ask("b1", two, store.index.id, {}))
        await asyncio.sleep(0)
        assert not first.done()
        async with asyncio.timeout(60):
            offer = await carousels.ask("b2", two, store.index.id, {})
            assert offer is not None
            assert await first == offer
    finally:
        carousels.close()


async def test_nobody_waits_long_for_others_who_do_not_come(store: Store) -> None:
    """Who waited is told to go on by HTTP."""
    two = replace(HERE, multicast=replace(GROUP, boards=2))
    carousels = Carousels(
        store.root.joinpath, frames_in(store.root), lambda *_: None, hold=0.05, expected=lambda *_: 9
    )
    async with asyncio.timeout(60):
        assert await carousels.ask("b1", two, store.index.id, {}) is None


async def test_a_board_alone_waits_for_nobody(store: Store) -> None:
    """Nor one that has begun by HTTP already, when others are on their way later."""
    two = replace(HERE, multicast=replace(GROUP, boards=2))
    expected = 1
    carousels = Carousels(
        store.root.joinpath, frames_in(store.root), lambda *_: None, hold=3600.0, expected=lambda *_: expected
    )
    async with asyncio.timeout(60):
        assert await carousels.ask("b1", two, store.index.id, {}) is None
        expected = 9
        assert await carousels.ask("b1", two, store.index.id, {}) is None


async def test_a_slow_store_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While an index is read for one board, others are answered."""
    slow = tmp_path / "index"
    os.mkfifo(slow)
    carousels = Carousels(lambda _: slow, frames_in(tmp_path), lambda *_: None)
    first = asyncio.create_task(carousels.ask("b1", HERE, "0" * 64, {}))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        assert await carousels.ask("b2", HERE, "0" * 64, {}) is None
        assert not first.done()
        await asyncio.to_thread(slow.write_bytes, b"no index")
        assert await first is None


async def test_it_ends_when_nobody_asks_for_anything_any_more(store: Store) -> None:
    """Its thread does not look for listeners for ever after the last board was switched off."""
    here = replace(HERE, address=IPv4Interface("127.0.0.1/8"))
    carousels = Carousels(
        lambda artefact: store.root / artefact, frames_in(store.root), lambda *_: None, idle=0.05
    )
    assert await carousels.ask("b1", here, store.index.id, {}) is not None
    (running,) = carousels._running.values()
    async with asyncio.timeout(60):
        while carousels._running or running.sender._thread.is_alive():
            await asyncio.sleep(0.01)


async def test_it_goes_on_for_boards_that_read_their_disks(store: Store) -> None:
    """They ask meanwhile without telling what they lack; without such questions it ends."""
    here = replace(HERE, address=IPv4Interface("127.0.0.1/8"))
    now = 100.0
    carousels = Carousels(store.root.joinpath, frames_in(store.root), lambda *_: None, lambda: now)
    try:
        first = await carousels.ask("b1", here, store.index.id, {})
        for _ in range(4):
            now += IDLE_SECONDS - 1
            assert await carousels.ask("b1", here, store.index.id, {}) == first
        now += IDLE_SECONDS + 1
        assert await carousels.ask("b1", here, store.index.id, {}) != first
    finally:
        carousels.close()


async def test_nobody_is_remembered_for_ever(tmp_path: Path) -> None:
    """Who wanted an image and asks no more is forgotten with it, whatever is asked for next."""
    seconds = iter(range(100))
    carousels = Carousels(
        tmp_path.joinpath, frames_in(tmp_path), lambda *_: None, clock=lambda: float(next(seconds))
    )
    two = replace(HERE, multicast=replace(GROUP, boards=2))
    for number in range(50):
        assert await carousels.ask("b1", two, f"{number:064x}", {}) is None
    assert len(carousels._interest) <= INTEREST_SECONDS + 1


GOOD: Document = {"passed": 1, "chunks": "Bw==", "fragments": {"2": [0, 5]}, "received": 9, "lost": 1}


def test_what_a_listener_lacks_is_read() -> None:
    """A bitmap of chunks and the fragments of some."""
    lacking = lacking_of(GOOD, 3)
    assert (lacking.chunks, lacking.fragments, lacking.passed) == (7, {2: [0, 5]}, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunks": None}, {"chunks": "!!"}, {"chunks": "Dw=="}, {"passed": -1}, {"passed": "1"},
        {"fragments": {"3": [0]}}, {"fragments": {"-1": [0]}}, {"fragments": {"x": [0]}}, {"fragments": [1]},
        {"fragments": {"1": [70000]}}, {"fragments": {"1": list(range(8001))}}, {"lost": True}, {"lost": 1.5},
        {"received": 1 << 63},
    ],
)  # fmt: skip
def test_anything_else_is_refused(wrong: Any) -> None:
    """A board's word is not trusted: it cannot make the rack send what there is not."""
    with pytest.raises(Refused) as refused:
        lacking_of({**GOOD, **wrong}, 3)
    assert refused.value.status == HTTPStatus.BAD_REQUEST


def test_an_ear_that_cannot_be_had_is_no_failure() -> None:
    """A group that is none, an offer that is none: everything comes by HTTP, and the log says why."""
    work_lines: list[str] = []
    work = Work(work_lines.append)

    class Deaf:
        def carousel(self, artefact: str, body: Document) -> Document | None:
            del artefact, body

        def ask(self, path: str) -> Document:
            raise AssertionError(path)

        def address_here(self) -> str:
            return "127.0.0.1"

    for offer in ({"session": 1, "group": "10.0.0.1", "port": 7707}, {"session": 1}, {"session": "x"}):
        left = listen(offer, [1, 2], 1000, Deaf(), "0" * 64, lambda *_: True, work)
        assert left == frozenset({1, 2})
    assert len(work_lines) == 3
    assert all("by HTTP" in line for line in work_lines)


def test_a_bitmap_is_little_endian() -> None:
    """The first chunk is the lowest bit of the first byte."""
    assert lacking_of({**GOOD, "chunks": base64.b64encode(b"\0\1").decode()}, 9).chunks == 1 << 8
