"""Boards that install over one network, more than it may carry at once, with the agent's own client."""

from __future__ import annotations

import asyncio
import io
import random
import threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from netboot_peers import NETWORK

from free_ports import free_port
from hostler.agent.console import Console
from hostler.agent.install import WORKERS, install
from hostler.agent.media import Media
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.turn import offer_or_turn
from hostler.agent.work import Work
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.boot import BootIntent
from hostler.model.chunkindex import ChunkIndex
from hostler.netboot.http_server import BootHttp
from hostler.netboot.install_limit import InstallLimit
from hostler.netboot.install_turns import AGAIN_SECONDS, InstallTurns
from hostler.netboot.multicast_group import MulticastGroup
from hostler.netboot.refused import Refused
from hostler.netboot.table import BootTable, NetworkConfig, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hostler.model.json import Document
    from hostler.model.trace import TraceEvent

SIZE = 40 << 20
GROUP = MulticastGroup(IPv4Address("239.255.77.2"), 7708, 2e8, 2, 1)


class Silent:
    """A rack that takes everything."""

    def seen(self, board: str, boot: str, at: float) -> None:
        del board, boot, at

    async def report(self, kind: str, board: str, boot: str, body: Document) -> int:
        del kind, board, boot, body
        return 204


class Site:
    """A rack's boot listener on loopback, an image in its store, and boards that are to install it."""

    def __init__(self, place: Path, limit: InstallLimit, multicast: MulticastGroup | None = None) -> None:
        image = place / "image"
        image.write_bytes(random.Random(5).randbytes(SIZE))
        store = ImageStore(place / "store")
        self.image = image.read_bytes()
        self.index_id = import_image(image, store).index
        self.port = free_port()
        self.network = replace(
            NETWORK, interface="lo", address=IPv4Interface("127.0.0.1/8"), range_first=None, range_last=None,
            http_port=self.port, installs=limit, multicast=multicast,
        )  # fmt: skip
        self.events: list[TraceEvent] = []
        self.order: list[int] = []
        self.asked: list[int] = []
        self.address = "127.0.0.1"
        self.stop = threading.Event()
        self.place = place
        table = BootTable()
        for number in range(3):
            step: Document = {"run": "r", "step": 0, "kind": "install", "params": {"index": self.index_id}}
            mac = f"52:54:00:00:00:{number:02x}"
            table.put(
                Target(
                    f"b{number}", "x86-uefi", "amd64", (mac,), intent=BootIntent.STEP, boot=f"boot-{number}",
                    token=f"t{number}", step=step,
                )
            )  # fmt: skip
        self._store = place / "store"
        self._table = table
        self.http = self.listener()

    def listener(self) -> BootHttp:
        return BootHttp(
            self._table, [self.network], lambda _: None, self.events.append, Silent(), self._store,
            lambda *_: None,
        )  # fmt: skip

    def rack(self, number: int) -> Rack:
        order, asked, address = self.order, self.asked, self.address

        class Watched(Rack):
            """The agent's client, and who fetched when and had asked for a carousel."""

            def chunk(self, digest: str, into: memoryview) -> int:
                order.append(number)
                return super().chunk(digest, into)

            def carousel(self, artefact: str, body: Document) -> Document | None:
                answer = super().carousel(artefact, body)
                if not body and answer is not None:
                    asked.append(number)
                return answer

            def address_here(self) -> str:
                return address

        config = BootConfig(f"http://127.0.0.1:{self.port}", f"t{number}", f"b{number}", f"boot-{number}")
        return Watched(config, Console(io.StringIO()), self.stop)

    def install(
        self, number: int, lines: list[str], disk_type: type[Media] = Media, held: bytes | None = None
    ) -> None:
        """Install on a disk that holds something already, or nothing, which is not looked at then."""
        rack = self.rack(number)
        index = ChunkIndex.decode(rack.index(self.index_id))
        disk = self.place / f"disk-{number}"
        with disk.open("wb") as file:
            file.write(held or b"")
            file.truncate(SIZE)

        def say(text: str) -> None:
            lines.append(f"b{number} {text}")

        with disk_type(disk, write=True) as media:
            install(index, media, rack, Work(say), caller=rack, verify=False, look=held is not None)
        assert disk.read_bytes() == self.image


@pytest.fixture
async def one_at_a_time(tmp_path: Path) -> AsyncIterator[Site]:
    """A network that one board may install over at once."""
    site = Site(tmp_path, InstallLimit(1, None))
    await site.http.start()
    yield site
    await site.http.close()


async def test_boards_install_one_after_the_other(one_at_a_time: Site) -> None:
    """Three begin over a network for one: who waits says so, all get the image, no two at the same time."""
    lines: list[str] = []
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(asyncio.to_thread(one_at_a_time.install, number, lines))
    order = one_at_a_time.order
    assert sum(before != after for before, after in pairwise(order)) == 2
    told = [event for event in one_at_a_time.events if event.kind == "turn"]
    waits = [event.board for event in told if "waits for its turn" in event.text]
    assert 2 <= len(waits) <= 3  # the first one too where the listener has just begun
    # Who asks a moment earlier is told a moment later on a busy machine.
    assert sorted(event.board for event in told if "after it waited" in event.text) == sorted(waits)
    assert sum("waits for its turn to fetch" in line for line in lines) == len(waits)
    assert sum("s for its turn" in line and "waited" in line for line in lines) == len(waits)


async def test_boards_that_read_their_disks_for_long_share_what_they_lack(tmp_path: Path) -> None:
    """The carousel that was offered before is gone by then: they listen to the next and fetch nothing."""
    site = Site(tmp_path, InstallLimit(1, None), GROUP)
    reading, read_on = threading.Semaphore(0), threading.Event()

    class SlowDisk(Media):
        """Takes its time when it is read, after the first chunk, which says that an image was begun."""

        def read(self, data: memoryview, offset: int) -> None:
            if offset and not read_on.is_set():
                reading.release()
                assert read_on.wait(120)
            super().read(data, offset)

    await site.http.start()
    try:
        lines: list[str] = []
        held = site.image[: SIZE // 8]
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(asyncio.to_thread(site.install, number, lines, SlowDisk, held))
            try:
                for _ in range(2 * WORKERS):
                    assert await asyncio.to_thread(reading.acquire, timeout=60)
                await site.http.close()
                site.http = site.listener()
                site.asked.clear()
                await site.http.start()
                async with asyncio.timeout(60):
                    while set(site.asked) != {0, 1}:  # they want it still, and the rack knows it
                        await asyncio.sleep(0.05)
            finally:
                read_on.set()
        assert site.order == []
    finally:
        site.stop.set()
        await site.http.close()


async def test_boards_that_the_carousel_failed_take_turns(tmp_path: Path) -> None:
    """None of them can join it: what they fetch by HTTP instead, they fetch one after the other."""
    site = Site(tmp_path, InstallLimit(1, None), GROUP)
    site.address = "192.0.2.1"
    await site.http.start()
    try:
        lines: list[str] = []
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(asyncio.to_thread(site.install, number, lines))
        assert sum("cannot be joined" in line for line in lines) == 2
        assert sum(before != after for before, after in pairwise(site.order)) == 1
    finally:
        site.stop.set()
        await site.http.close()


async def test_a_board_that_waits_outlives_a_restart_of_its_rack(one_at_a_time: Site) -> None:
    """It keeps its place by what it says it has waited; who fetches keeps its turn by fetching."""
    site = one_at_a_time
    first, second, third = (site.rack(number) for number in range(3))
    turn = f"/agent/turn/{site.index_id}"
    digest = ChunkIndex.decode(await asyncio.to_thread(first.index, site.index_id)).distinct()[0]
    frame = memoryview(bytearray(2 << 20))
    await asyncio.to_thread(first.chunk, digest, frame)
    assert await asyncio.to_thread(second.ask, f"{turn}?waited=0") == {"place": 1, "again": AGAIN_SECONDS}
    await site.http.close()
    site.http = site.listener()
    await site.http.start()
    assert (await asyncio.to_thread(third.ask, f"{turn}?waited=0"))["place"] == 1
    assert (await asyncio.to_thread(second.ask, f"{turn}?waited=30.5"))["place"] == 1
    await asyncio.to_thread(first.chunk, digest, frame)
    assert (await asyncio.to_thread(third.ask, f"{turn}?waited=1"))["place"] == 2


async def test_who_leaves_makes_room_at_once(one_at_a_time: Site) -> None:
    """Whether it says that it has the image, or that its step is done."""
    clock = [100.0]
    said: list[str] = []
    turns = InstallTurns(
        [one_at_a_time.network], lambda board, text: said.append(f"{board} {text}"), lambda: clock[0]
    )
    clock[0] += 10
    network = one_at_a_time.network
    assert turns.ask("b1", network, 0) == {"place": 0}
    assert turns.ask("b2", network, 0) == {"place": 1, "again": AGAIN_SECONDS}
    turns.leave("b1")
    clock[0] += 3
    assert turns.ask("b2", network, 3) == {"place": 0}
    assert said == [
        "b2 waits for its turn to fetch its image, at place 1: 1 at once may on network bench",
        "b2 fetches its image after it waited 3 s for its turn",
    ]


async def test_other_networks_know_no_turns() -> None:
    """Nor does an address that is on none."""
    turns = InstallTurns([NETWORK], lambda *_: None)
    assert turns.ask("b1", NETWORK, 0) == turns.ask("b1", None, 0) == {"place": 0}
    await turns.chunk("b1", NETWORK, 1 << 20)


async def test_chunks_keep_to_the_rate_of_the_network() -> None:
    """One after the other, and what would wait so long that an agent takes its rack for lost is refused."""
    network = replace(NETWORK, installs=InstallLimit(9, 1e6))
    turns = InstallTurns([network], lambda *_: None, lambda: 50.0)
    size = 1_200_000  # at 1 Mbit/s 9.6 s, of which the first has some to its credit
    async with asyncio.timeout(60):
        await turns.chunk("b1", network, size)
    second = asyncio.create_task(turns.chunk("b2", network, size))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="come again"):
        await turns.chunk("b3", network, size)
    assert not second.done()
    second.cancel()


def test_a_turn_that_never_comes_is_not_waited_for_for_ever() -> None:
    """After its longest wait the board begins without, and says so."""
    lines: list[str] = []
    phases: list[str] = []
    work = Work(lines.append)

    class Full:
        """A rack that lets nobody in."""

        def carousel(self, artefact: str, body: Document) -> Document | None:
            del artefact, body

        def ask(self, path: str) -> Document:
            phases.append(work.progress()[0])
            assert "?waited=" in path
            return {"place": 7, "again": 0.0}

        def address_here(self) -> str:
            return "127.0.0.1"

    assert offer_or_turn(Full(), "0" * 64, work, 10, most=0.2) is None
    assert phases[0] == "executing"
    assert set(phases[1:]) == {"waiting"}
    assert work.progress() == ("executing", 0, 10)
    assert "at place 7" in lines[0]
    assert "begins without" in lines[1]


def test_a_limit_travels_to_the_process_that_serves_it() -> None:
    """As a part of its network."""
    for limit in (InstallLimit(3, None), InstallLimit(3, 5e8), None):
        network = replace(NETWORK, installs=limit)
        assert NetworkConfig.from_json(network.to_json()) == network
