"""Boards that fetch an image's chunks from each other: who is in it on a network, and who fetches what next.

An agent joins with what it has and lacks, and then asks for one small job after another, telling each time
what came of those before. It gets chunk numbers and where they are: at another board of the same network,
with a ticket for it, or at the rack. When there is nothing for it at the moment its answer waits a little.
Nothing is kept: after a restart the agents join again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from hostler.model.chunkindex import ChunkIndex, ChunkIndexError
from hostler.model.peer_ticket import TicketError, checked_key, ticket
from hostler.model.swarm import Job, Swarm
from hostler.model.trace import printable
from hostler.netboot.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.model.json import JSON, Document
    from hostler.netboot.table import Address, NetworkConfig

log = logging.getLogger(__name__)

FEWEST = 2
"""How many boards must want an image: one alone gains nothing from asking where its chunks are."""
INTEREST_SECONDS = 10.0
"""How long somebody who asked counts as wanting it: an agent asks once a second."""
WAIT_SECONDS = 4.0
"""How long an answer waits for a job: an agent takes a rack for lost that says nothing for 15 s."""
IDLE_SECONDS = 30.0
"""After how long it is forgotten who was in it when nobody asks."""
_MOST_TOLD = 4096  # chunks of one list, and failures: an agent has some dozens to tell
_SOON = 0.01  # what is told within it is looked at together
_SHARE = 4  # looking takes no more than this part of the time


@dataclass(frozen=True, slots=True)
class _Door:
    """Where a board serves its chunks."""

    number: int
    host: str
    port: int
    key: str


@dataclass(slots=True)
class _Shared:
    """One image on one network."""

    session: str
    chunks: int
    swarm: Swarm
    busy_at: float
    doors: dict[str, _Door] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # of boards, by the number that others know
    waiting: dict[str, deque[tuple[int, asyncio.Future[Job | None]]]] = field(default_factory=dict)
    looks_at: float = 0.0  # not before
    looking: bool = False


class Peers:
    """All of them in one namespace.

    Args:
        index: Returns the path of a chunk index by its id.
        say: Takes a board's name and a line about it.
        expected: Returns how many boards are to install an image on a network, by the id of its index and
            the network's name, whether they have asked or not.
        clock: Seconds, only forward.
    """

    def __init__(
        self,
        index: Callable[[str], Path],
        say: Callable[[str, str], None],
        expected: Callable[[str, str], int] = lambda _artefact, _network: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._say = say
        self._expected = expected
        self._clock = clock
        self._interest: dict[tuple[str, str], dict[str, float]] = {}
        self._shared: dict[tuple[str, str], _Shared] = {}

    def offered(self, board: str, network: NetworkConfig | None, artefact: str) -> bool:
        """Tell whether a board is to join others that install an image.

        Args:
            board: Its name.
            network: Where it is, by its IPv4 address.
            artefact: Id of the image's index.
        """
        if network is None or not network.peers:
            return False
        now = self._clock()
        interest = self._interest.setdefault((network.name, artefact), {})
        interest[board] = now
        for name in [name for name, at in interest.items() if at < now - INTEREST_SECONDS]:
            del interest[name]
        shared = self._shared.get((network.name, artefact))
        inside = 0 if shared is None else len(shared.swarm) - (board in shared.swarm)
        return max(len(interest), inside + 1, self._expected(artefact, network.name)) >= FEWEST

    def fetches(self, board: str, network: NetworkConfig | None, artefact: str) -> bool:
        """Tell whether a board that fetches a chunk of an image does so as one of those."""
        shared = self._shared.get((network.name, artefact)) if network is not None else None
        return shared is not None and board in shared.swarm

    async def ask(
        self, board: str, network: NetworkConfig | None, artefact: str, client: Address, body: Document
    ) -> Document | None:
        """Answer a board; None: it is to fetch everything from the rack.

        ``{"port", "key", "has", "lacks"}`` joins; the answer is ``{"session", "chunks"}``. Then
        ``{"session", "got", "dropped", "failed", "most"}`` reports and, unless ``most`` is 0, asks for a job:
        ``{"session", "job", "from"}``, ``from`` being None for the rack or ``{"peer", "host", "port",
        "ticket"}``. ``failed`` is a list of ``{"chunks", "from", "why"}``; with ``why`` they were not what
        they should be or nothing came, without they were there no more. An answer with another session
        means that it is to join again. ``{"leave": why}`` leaves.

        Args:
            board: Its name.
            network: Where it is, by its IPv4 address.
            artefact: Id of the image's index.
            client: That address.
            body: See above.

        Raises:
            Refused: The body is wrong.
        """
        if network is None or not network.peers:
            return None
        now = self._clock()
        self._forget(now)
        key = (network.name, artefact)
        if "leave" in body:
            self._interest.get(key, {}).pop(board, None)
            self._leave(self._shared.get(key), board, printable(str(body["leave"]), 200))
            return None
        shared = self._shared.get(key) or await self._begun(key)
        if shared is None:
            return None
        shared.busy_at = now
        if "lacks" in body:
            self._join(shared, board, str(client), body, now)
        elif body.get("session") == shared.session and board in shared.swarm:
            return await self._next(shared, board, client, body, now)
        return {"session": shared.session, "chunks": shared.chunks}

    async def _next(
        self, shared: _Shared, board: str, client: Address, body: Document, now: float
    ) -> Document:
        most = self._told(shared, board, body, now)
        job = await self._job(shared, board, most) if most else None
        door = shared.doors.get(job.source) if job is not None and job.source is not None else None
        source: JSON = None
        if door is not None:
            shown = ticket(door.key, str(client))
            source = {"peer": door.number, "host": door.host, "port": door.port, "ticket": shown}
        chunks: list[JSON] = list(job.chunks) if job is not None else []
        lacking = shared.swarm.lacking
        return {"session": shared.session, "job": chunks, "from": source, "lacking": lacking}

    async def _begun(self, key: tuple[str, str]) -> _Shared | None:
        try:
            # A large image's index takes its time to read, and others are waiting for their chunks.
            chunks = await asyncio.to_thread(lambda: _count(self._index(key[1])))
        except (OSError, ChunkIndexError) as error:
            log.error("network %s: %s cannot be shared: %s", *key, error)  # noqa: TRY400 - it says it all
            return None
        made = _Shared(secrets.token_hex(8), chunks, Swarm(chunks), self._clock())
        return self._shared.setdefault(key, made)

    def _join(self, shared: _Shared, board: str, host: str, body: Document, now: float) -> None:
        try:
            key, port = checked_key(body["key"]), _number(body["port"], 1 << 16)
            has, lacks = (_bitmap(body[name], shared.chunks) for name in ("has", "lacks"))
        except (KeyError, ValueError, TypeError, TicketError, binascii.Error) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"not who joins others: {error}") from None
        if board not in shared.swarm:
            self._say(board, f"fetches the image from {len(shared.swarm)} other boards, too")
        number = secrets.randbits(31)
        shared.swarm.join(board, has, lacks & ~has, now)
        if (old := shared.doors.get(board)) is not None:
            shared.names.pop(old.number, None)
        shared.doors[board] = _Door(number, host, port, key)
        shared.names[number] = board
        self._look_soon(shared)

    def _told(self, shared: _Shared, board: str, body: Document, now: float) -> int:
        """Take in what a board reports; return how many chunks it wants at once."""
        swarm = shared.swarm
        swarm.heard(board, now)
        try:
            got, dropped = (_numbers(body.get(name, []), shared.chunks) for name in ("got", "dropped"))
            failed = [
                (_numbers(one["chunks"], shared.chunks), one.get("from"), one.get("why"))
                for one in cast("list[Document]", _few(body.get("failed", [])))
            ]
            most = _number(body.get("most", 0), 1 << 16)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"not what a board can tell: {error}") from None
        swarm.got(board, got, now)
        swarm.dropped(board, dropped)
        for chunks, number, why in failed:
            source = shared.names.get(number, "") if isinstance(number, int) else None
            if source is not None and source not in swarm:
                source = ""  # it was forgotten because it was silent: nobody took its number back
            swarm.failed(board, chunks, source, blame=why is not None)
            if source and why is not None:
                self._say(board, f"takes nothing more from {source} for now: {printable(str(why), 200)}")
        if got or failed:
            self._look_soon(shared)
        return most

    async def _job(self, shared: _Shared, board: str, most: int) -> Job | None:
        """Return a job, or None: the board has everything, or there was none for a while."""
        queue = shared.waiting.setdefault(board, deque())
        job = shared.swarm.job(board, most, self._clock()) if not queue else None
        if job is not None or not shared.swarm.wants(board):
            return job  # nobody would end that wait: what it got last was told before
        waits: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        queue.append((most, waits))
        # What was given before may have been given in vain; nobody tells when that time is over.
        asyncio.get_running_loop().call_later(WAIT_SECONDS / 2, self._look_soon, shared)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                return await waits
        with contextlib.suppress(ValueError):
            queue.remove((most, waits))
        return None

    def _look_soon(self, shared: _Shared) -> None:
        """See before long whether there is something to do for those who wait."""
        if shared.looking or not any(shared.waiting.values()):
            return
        shared.looking = True
        loop = asyncio.get_running_loop()
        loop.call_at(max(loop.time() + _SOON, shared.looks_at), self._look, shared)

    def _look(self, shared: _Shared) -> None:
        shared.looking = False
        loop = asyncio.get_running_loop()
        began, now = loop.time(), self._clock()
        for board, queue in list(shared.waiting.items()):
            while queue:
                most, waits = queue[0]
                inside = board in shared.swarm
                job = shared.swarm.job(board, most, now) if inside and not waits.done() else None
                if job is None and inside and shared.swarm.wants(board) and not waits.done():
                    break
                queue.popleft()
                if not waits.done():
                    waits.set_result(job)
            if not queue:
                del shared.waiting[board]
        ended = loop.time()
        shared.looks_at = ended + _SHARE * (ended - began)

    def _leave(self, shared: _Shared | None, board: str, why: str) -> None:
        if shared is None or board not in shared.swarm:
            return
        shared.swarm.leave(board)
        shared.names.pop(shared.doors.pop(board).number, None)
        self._say(board, f"fetches from other boards no more: {why}")
        self._look_soon(shared)

    def _forget(self, now: float) -> None:
        for key, shared in list(self._shared.items()):
            if shared.busy_at < now - IDLE_SECONDS:
                del self._shared[key]
        for wanted, interest in list(self._interest.items()):
            if all(at < now - INTEREST_SECONDS for at in interest.values()):
                del self._interest[wanted]


def _count(path: Path) -> int:
    return len(ChunkIndex.decode(path.read_bytes()).distinct())


def _number(value: object, beyond: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < beyond:
        raise ValueError("a number out of range")
    return value


def _numbers(values: object, beyond: int) -> list[int]:
    return [_number(one, beyond) for one in _few(values)]


def _few(values: object) -> list[object]:
    if not isinstance(values, list):
        raise TypeError("not a list")
    if len(values) > _MOST_TOLD:
        raise ValueError(f"more than {_MOST_TOLD} at once")
    return values


def _bitmap(text: object, count: int) -> int:
    bits = int.from_bytes(base64.b64decode(str(text), validate=True), "little")
    if bits >> count:
        raise ValueError("a chunk that the image does not have")
    return bits
