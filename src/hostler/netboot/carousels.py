"""The multicast carousels of a rack's networks: when one begins, who listens, and when it ends."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from hostler.model.chunkindex import ChunkIndex, ChunkIndexError
from hostler.model.trace import printable
from hostler.netboot.carousel_sender import CarouselSender
from hostler.netboot.refused import Refused
from hostler.wire.carousel_receiver import MOST_FRAGMENTS, Lacking

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address
    from pathlib import Path

    from hostler.model.json import Document
    from hostler.netboot.multicast_group import MulticastGroup
    from hostler.netboot.table import NetworkConfig

log = logging.getLogger(__name__)

INTEREST_SECONDS = 10.0
"""How long somebody who asked for an image counts as wanting it: an agent asks once a second."""
IDLE_SECONDS = 15.0
"""How long a carousel goes on that nobody asks about: neither listeners nor boards that read their disks to
see what they lack."""
HOLD_SECONDS = 1.0
"""How long the first who ask are kept waiting while others are to install the same image: what each would
fetch by itself meanwhile, megabytes, would keep the carousel from beginning."""


@dataclass(slots=True)
class _Carousel:
    sender: CarouselSender
    chunks: int
    busy_at: float
    listeners: set[str] = field(default_factory=set)


class Carousels:
    """All of them in one namespace.

    Args:
        index: Returns the path of a chunk index by its id.
        chunk: Returns the path of a chunk's frame by the image's index and its digest; raises OSError. It may
            block, and then calls what it is given now and then (see ``CarouselSender``).
        say: Takes a board's name and a line about it.
        clock: Seconds, only forward.
        idle: See ``IDLE_SECONDS``.
        hold: See ``HOLD_SECONDS``.
        expected: Returns how many boards are to install an image on a network, by the id of its index and
            the network's name, whether they have asked or not.
    """

    def __init__(
        self,
        index: Callable[[str], Path],
        chunk: Callable[[str, str, Callable[[], None]], Path],
        say: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
        idle: float = IDLE_SECONDS,
        hold: float = HOLD_SECONDS,
        expected: Callable[[str, str], int] = lambda _artefact, _network: 0,
    ) -> None:
        self._expected = expected
        self._clock = clock
        self._idle = idle
        self._hold_seconds = hold
        self._looking = False
        self._index = index
        self._chunk = chunk
        self._say = say
        self._interest: dict[tuple[str, str], dict[str, float]] = {}
        self._running: dict[tuple[str, str], _Carousel] = {}
        self._beginning: set[tuple[str, str]] = set()
        self._held: dict[tuple[str, str], asyncio.Event] = {}
        self._closed = False

    async def ask(
        self, board: str, network: NetworkConfig | None, artefact: str, body: Document
    ) -> Document | None:
        """Answer a board that installs an image: where its carousel is, or None, for HTTP alone.

        Args:
            board: Its name.
            network: Where it is.
            artefact: Id of the image's index.
            body: Empty, or what it lacks (see ``lacking_of``); ``{"leave": why}`` when it goes.

        Raises:
            Refused: The body is wrong.
        """
        now = self._clock()
        self._end_idle(now)
        group = network.multicast if network is not None else None
        if network is None or group is None:
            return None
        key = (network.name, artefact)
        running = self._running.get(key)
        if "leave" in body:
            self._interest.get(key, {}).pop(board, None)
            self._leave(running, board, printable(str(body["leave"]), 200))
            return None
        interest = self._interest.setdefault(key, {})
        first = board not in interest
        interest[board] = now
        if running is None:
            if len(interest) >= group.boards and key not in self._beginning:
                running = await self._begin(key, network.server, group)
            elif first and self._expected(artefact, network.name) >= group.boards:
                running = await self._hold(key)
        if running is None:
            return None
        running.busy_at = now
        if body.get("session") == running.sender.session:
            lacking = lacking_of(body, running.chunks)
            running.sender.report(board, lacking)
            if board not in running.listeners:
                running.listeners.add(board)
                others = max(0, running.sender.listeners - 1)
                self._say(board, f"listens to the carousel at {group.address}, with {others} others")
        return {
            "session": running.sender.session,
            "group": str(group.address),
            "port": group.port,
            "chunks": running.chunks,
        }

    def close(self) -> None:
        """End them all, and begin none any more."""
        self._closed = True
        for running in self._running.values():
            running.sender.stop()
        self._running.clear()

    async def _begin(
        self, key: tuple[str, str], source: IPv4Address, group: MulticastGroup
    ) -> _Carousel | None:
        """Begin to send, and tell those who are kept waiting for it."""
        self._beginning.add(key)
        try:
            # A large image's index takes its time to read, and others are waiting for their chunks.
            running = await asyncio.to_thread(self._made, key, source, group)
        finally:
            self._beginning.discard(key)
            if (held := self._held.pop(key, None)) is not None:
                held.set()
        if running is None or self._closed:
            return None
        self._running[key] = running
        self._share_out(key[0])
        running.sender.start()
        self._look_later()
        log.info("network %s: carousel for %s to %s", *key, group.address)
        return running

    async def _hold(self, key: tuple[str, str]) -> _Carousel | None:
        """Wait a moment for a carousel to begin."""
        begun = self._held.setdefault(key, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._hold_seconds):
                await begun.wait()
        return self._running.get(key)

    def _made(self, key: tuple[str, str], source: IPv4Address, group: MulticastGroup) -> _Carousel | None:
        try:
            index = ChunkIndex.decode(self._index(key[1]).read_bytes())
            digests = index.distinct()

            def frame(number: int, waits: Callable[[], None]) -> bytes:
                return self._chunk(key[1], digests[number], waits).read_bytes()

            sender = CarouselSender(secrets.randbits(31), group, source, frame)
        except (OSError, ChunkIndexError) as error:
            log.error("network %s: no carousel for %s: %s", *key, error)  # noqa: TRY400 - it says it all
            return None
        return _Carousel(sender, len(digests), self._clock())

    def _leave(self, running: _Carousel | None, board: str, why: str) -> None:
        if running is not None and board in running.listeners:
            running.sender.forget(board)
            running.listeners.discard(board)
            self._say(board, f"listens to the carousel no more: {why}")

    def _share_out(self, network: str) -> None:
        """Give each carousel of a network its part of what may be sent there."""
        senders = [one.sender for key, one in self._running.items() if key[0] == network]
        for sender in senders:
            sender.limit(sender.group.rate / len(senders))

    def _look_later(self) -> None:
        """See to it that a carousel ends too where nobody asks for anything any more."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(self._idle, self._look)

    def _look(self) -> None:
        self._looking = False
        if self._closed:
            return
        self._end_idle(self._clock())
        if self._running:
            self._look_later()

    def _end_idle(self, now: float) -> None:
        for wanted, interest in list(self._interest.items()):
            for board in [board for board, at in interest.items() if at < now - INTEREST_SECONDS]:
                del interest[board]
            if not interest:
                del self._interest[wanted]
        for key, running in list(self._running.items()):
            if running.busy_at < now - self._idle:
                del self._running[key]
                running.sender.end()
                self._share_out(key[0])
                log.info("network %s: carousel for %s ends, %d bytes sent", *key, running.sender.sent_bytes)


def lacking_of(body: Document, count: int) -> Lacking:
    """Read what a listener lacks.

    ``{"passed": 17, "chunks": BASE64, "fragments": {"5": [0, 3]}, "received": 1000, "lost": 10}``; the base64
    is a bitmap, the first chunk in the lowest bit of the first byte.

    Raises:
        Refused: It is something else.
    """
    try:
        bitmap = base64.b64decode(str(body["chunks"]), validate=True)
        chunks = int.from_bytes(bitmap, "little")
        told = cast("dict[str, list[int]]", body["fragments"])
        fragments = {
            int(chunk): [_number(one, 1 << 16) for one in numbers] for chunk, numbers in told.items()
        }
        numbers = [_number(body[name], 1 << 62) for name in ("passed", "received", "lost")]
    except (KeyError, ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"not what a listener lacks: {error}") from None
    if chunks >> count or any(not 0 <= chunk < count for chunk in fragments):
        raise Refused(HTTPStatus.BAD_REQUEST, "a listener lacks a chunk that the image does not have")
    if sum(map(len, fragments.values())) > MOST_FRAGMENTS:
        raise Refused(HTTPStatus.BAD_REQUEST, f"a listener may name {MOST_FRAGMENTS} fragments at once")
    return Lacking(numbers[0], chunks, fragments, numbers[1], numbers[2])


def _number(value: object, beyond: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < beyond:
        raise ValueError("a number out of range")
    return value
