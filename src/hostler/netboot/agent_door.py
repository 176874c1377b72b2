"""The agent's way in: it shows its boot's token, asks for work, reports, and fetches chunks.

Only a POST with the token of a board's present boot moves a run, and the rack has taken it before it is
answered.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs, web

from hostler.model.json import foreign_object
from hostler.model.trace import TraceEvent
from hostler.netboot.capture_door import CaptureDoor
from hostler.netboot.carousels import Carousels
from hostler.netboot.chunk_shelf import ChunkShelf
from hostler.netboot.file_response import send_file
from hostler.netboot.install_turns import InstallTurns
from hostler.netboot.peers import Peers
from hostler.netboot.refused import Refused
from hostler.netboot.request_body import limited_body

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hostler.model.json import JSON, Document
    from hostler.netboot.chunk_shelf import Elsewhere
    from hostler.netboot.table import Address, BootTable, NetworkConfig, Target

RACK_SECONDS = 10.0
"""How long the rack may take to accept a report before the agent is told to come again."""
SEEN_SECONDS = 1.0
REPORT_LIMITS = {"hello": 256 << 10, "progress": 4 << 10, "done": 1 << 20, "fail": 256 << 10}
"""Reports an agent can make, and the most bytes each may have."""

CAROUSEL_LIMIT = 512 << 10
"""Most bytes of a list of what is lacking: 8,000 fragments, and a bit for each of two million chunks."""

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Rack(Protocol):
    """What the door needs of the process behind it."""

    def seen(self, board: str, boot: str, at: float) -> None:
        """An agent showed that it lives; called at most once a second for a board. Must not block."""

    async def report(self, kind: str, board: str, boot: str, body: Document) -> int:
        """Hand over a report; returns the HTTP status the rack wants it answered with."""


@dataclass(slots=True)
class _Fetched:
    """Chunks a boot has fetched since the last report: counted, because there are thousands."""

    boot: str
    requests: int = 0
    bytes: int = 0
    first: float = 0.0
    last: float = 0.0


class AgentDoor:
    """Answers everything under ``/agent/``.

    Args:
        table: What every board is to do, and the tokens of their boots.
        store: Root of the chunk store.
        mac_of: MAC that holds the lease of an address, or None.
        emit: Takes trace events; never blocks.
        rack: Takes reports and signs of life.
        networks: Where agents are.
        elsewhere: Images that are at home on another server; None: there are none.
    """

    def __init__(
        self,
        table: BootTable,
        store: Path,
        mac_of: Callable[[Address], str | None],
        emit: Callable[[TraceEvent], None],
        rack: Rack,
        networks: Sequence[NetworkConfig],
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._table = table
        self._networks = networks
        self._shelf = ChunkShelf(table, store, elsewhere, self._tell_upstream)
        self._carousels = Carousels(
            self._shelf.index_path,
            lambda index, digest, waits: self._shelf.awaited(index, digest, "carousel", waits),
            self._tell_carousel,
            expected=self._installing,
        )
        self._peers = Peers(self._shelf.index_path, self._tell_peers, self._installing)
        self._turns = InstallTurns(networks, self._tell_turn)
        self._captures = CaptureDoor(store)
        self._mac_of = mac_of
        self._emit = emit
        self._rack = rack
        self._seen: dict[str, float] = {}
        self._places: dict[str, str] = {}  # the network on which each board was last
        self._fetched: dict[str, _Fetched] = {}

    async def handle(self, request: web.BaseRequest, path: str, client: Address) -> web.StreamResponse:
        """Answer a request for ``path`` (below ``/agent/``).

        Raises:
            Refused: It is to be answered with an error.
        """
        self._shelf.follow()
        target, boot = self._admit(request, client)
        if (network := self._network_of(client)) is not None:
            self._places[target.board] = network.name
        now = time.time()
        if now - self._seen.get(target.board, 0.0) >= SEEN_SECONDS:
            self._seen[target.board] = now
            self._rack.seen(target.board, boot, now)
        name, _, rest = path.partition("/")
        if request.method == hdrs.METH_POST:
            if name == "carousel" and rest:
                return await self._carousel(request, rest, target, client)
            if name == "peers" and rest:
                return await self._from_peers(request, rest, target, client)
            if name == "capture" and rest.startswith("finish/"):
                return await self._finish_capture(rest.removeprefix("finish/"), target, boot)
            if name == "capture" and rest:
                return await self._captures.handle(request, rest, target)
            if name not in REPORT_LIMITS or rest:
                raise Refused(HTTPStatus.NOT_FOUND, "no such report")
            return await self._report(request, name, target, boot)
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "use GET, HEAD or POST")
        if name == "step" and not rest:
            if target.step is None:
                return web.Response(status=HTTPStatus.NO_CONTENT)
            return web.json_response(target.step)
        if name == "index" and rest:
            return await self._index(request, rest, target, boot)
        if name == "turn" and rest:
            return self._turn(request, rest, target, client)
        if name == "chunk" and _SHA256.match(rest):
            return await self._chunk(request, rest, target, boot, client)
        if name == "file" and rest:
            return await self._file(request, rest, target, boot)
        raise Refused(HTTPStatus.NOT_FOUND, "no such thing for an agent")

    def _admit(self, request: web.BaseRequest, client: Address) -> tuple[Target, str]:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused(HTTPStatus.UNAUTHORIZED, "show the token of your boot: Authorization: Bearer ...")
        # Tokens are 256 random bits: a dict's comparison tells nothing that helps to guess one.
        target = self._table.by_token(token.strip())
        if target is None or target.boot is None:
            raise Refused(HTTPStatus.FORBIDDEN, "this token is not that of a present boot")
        mac = self._mac_of(client)
        holder = self._table.by_mac(mac) if mac else None
        if holder is not None and holder.board != target.board:
            self._trace(
                target, target.boot, "refused", f"{target.board}: its token was shown by {holder.board}"
            )
            raise Refused(HTTPStatus.FORBIDDEN, "this token belongs to another board")
        return target, target.boot

    async def _report(self, request: web.BaseRequest, kind: str, target: Target, boot: str) -> web.Response:
        body = _object(await limited_body(request, REPORT_LIMITS[kind], f"a {kind} report"))
        status = await reported(self._rack, kind, target.board, boot, body)
        if kind in ("done", "fail"):
            self._turns.leave(target.board)
            self._tell_fetched(target)
        return web.Response(status=status)

    async def _index(
        self, request: web.BaseRequest, artefact: str, target: Target, boot: str
    ) -> web.StreamResponse:
        _check_index(target, artefact)
        try:
            path = await self._shelf.index(target.board, artefact)
            response, transfer = await send_file(request, path, artefact)
        except OSError as error:
            self._trace(target, boot, "missing", f"{target.board}: index {artefact[:12]}: {error.strerror}")
            raise Refused(HTTPStatus.NOT_FOUND, "the index is not in the store") from error
        text = f"{target.board}: chunk index {artefact[:12]}"
        self._trace(target, boot, "get", text, {"file": "index", "bytes": transfer.bytes})
        return response

    async def _chunk(
        self, request: web.BaseRequest, digest: str, target: Target, boot: str, client: Address
    ) -> web.StreamResponse:
        started = time.time()
        try:
            network, index = self._network_of(client), str(_index_of(target))
            path = await self._shelf.chunk(target.board, index, digest)
            shares = self._peers.fetches(target.board, network, index)
            await self._turns.chunk(target.board, network, path.stat().st_size, in_turn=not shares)
            response, transfer = await send_file(request, path, digest, "application/zstd")
        except OSError as error:
            if self._shelf.grows and isinstance(error, FileNotFoundError):
                # A small cache had to let it go again.
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the chunk has just gone; come again") from None
            self._trace(target, boot, "missing", f"{target.board}: chunk {digest[:12]}: {error.strerror}")
            raise Refused(HTTPStatus.NOT_FOUND, "the chunk is not in the store") from error
        fetched = self._fetched.get(target.board)
        if fetched is None or fetched.boot != boot:
            fetched = self._fetched[target.board] = _Fetched(boot, first=started)
        fetched.requests += 1
        fetched.bytes += transfer.bytes
        fetched.last = time.time()
        return response

    async def _file(
        self, request: web.BaseRequest, artefact: str, target: Target, boot: str
    ) -> web.StreamResponse:
        """Send the tool pack of a step that names it."""
        params = target.step.get("params") if target.step else None
        path = self._table.artefact(artefact)
        if not isinstance(params, dict) or params.get("tools") != artefact or path is None:
            raise Refused(HTTPStatus.NOT_FOUND, "not a file of this board's step")
        try:
            response, transfer = await send_file(request, path, artefact)
        except OSError as error:
            self._trace(target, boot, "missing", f"{target.board}: tools {artefact[:12]}: {error.strerror}")
            raise Refused(HTTPStatus.NOT_FOUND, "the file cannot be read") from error
        text = f"{target.board}: tools, {transfer.bytes / 1e6:.1f} MB"
        self._trace(target, boot, "get", text, {"file": "tools", "bytes": transfer.bytes})
        return response

    async def _finish_capture(self, index: str, target: Target, boot: str) -> web.Response:
        """Have the rack put a captured image into the store; 202: it is at it, ask again."""
        step = target.step or {}
        if step.get("kind") != "capture" or not _SHA256.match(index):
            raise Refused(HTTPStatus.CONFLICT, "this board captures nothing at present")
        body: Document = {"run": step.get("run"), "step": step.get("step"), "index": index}
        return web.Response(status=await reported(self._rack, "capture", target.board, boot, body))

    async def _carousel(
        self, request: web.BaseRequest, artefact: str, target: Target, client: Address
    ) -> web.Response:
        _check_index(target, artefact)
        body = _object(await limited_body(request, CAROUSEL_LIMIT, "what a listener lacks"))
        network = next((one for one in self._networks if client in one.subnet), None)
        answer = await self._carousels.ask(target.board, network, artefact, body)
        if answer is None and not body and self._peers.offered(target.board, network, artefact):
            answer = {"peers": True}
        if answer is not None or "leave" in body:
            self._turns.leave(target.board)
        return web.Response(status=HTTPStatus.NO_CONTENT) if answer is None else web.json_response(answer)

    async def _from_peers(
        self, request: web.BaseRequest, artefact: str, target: Target, client: Address
    ) -> web.Response:
        _check_index(target, artefact)
        body = _object(await limited_body(request, CAROUSEL_LIMIT, "what a board has of an image"))
        network = next((one for one in self._networks if client in one.subnet), None)
        answer = await self._peers.ask(target.board, network, artefact, client, body)
        return web.Response(status=HTTPStatus.NO_CONTENT) if answer is None else web.json_response(answer)

    def _turn(self, request: web.BaseRequest, artefact: str, target: Target, client: Address) -> web.Response:
        """Tell an agent whether it may fetch its image now."""
        _check_index(target, artefact)
        told = request.query.get("waited", "0")
        if not _SECONDS.match(told):
            raise Refused(HTTPStatus.BAD_REQUEST, "waited is a number of seconds")
        return web.json_response(self._turns.ask(target.board, self._network_of(client), float(told)))

    def _network_of(self, client: Address) -> NetworkConfig | None:
        return next((one for one in self._networks if one.contains(client)), None)

    async def close(self) -> None:
        """End what was begun for agents."""
        self._captures.close()
        await asyncio.to_thread(self._carousels.close)

    def _installing(self, artefact: str, network: str) -> int:
        """How many boards are at a step that installs an image, or on their way to it, on a network."""
        return sum(
            _index_of(target) == artefact and self._place(target) in (network, None)
            for target in self._table.boards()
        )

    def _place(self, target: Target) -> str | None:
        """The network on which a board was last, or will be; "": none of these; None: it is not known yet."""
        if target.board in self._places or target.address is None:
            return self._places.get(target.board)
        network = self._network_of(ip_address(target.address))
        return network.name if network is not None else ""

    def _tell_turn(self, board: str, text: str) -> None:
        target = self._table.by_board(board)
        if target is not None and target.boot is not None:
            self._trace(target, target.boot, "turn", f"{board} {text}")

    def _tell_carousel(self, board: str, text: str) -> None:
        target = self._table.by_board(board)
        if target is not None and target.boot is not None:
            self._trace(target, target.boot, "carousel", f"{board} {text}")

    def _tell_upstream(self, board: str, text: str) -> None:
        target = self._table.by_board(board)
        if target is not None and target.boot is not None:
            self._trace(target, target.boot, "upstream", f"{board} {text}")

    def _tell_peers(self, board: str, text: str) -> None:
        target = self._table.by_board(board)
        if target is not None and target.boot is not None:
            self._trace(target, target.boot, "peers", f"{board} {text}")

    def _tell_fetched(self, target: Target) -> None:
        fetched = self._fetched.pop(target.board, None)
        if fetched is None:
            return
        seconds = max(fetched.last - fetched.first, 1e-6)
        rate = fetched.bytes / 1e6 / seconds
        text = f"{target.board}: {fetched.requests} chunks, {fetched.bytes / 1e6:.1f} MB, {rate:.1f} MB/s"
        data: Document = {
            "requests": fetched.requests,
            "bytes": fetched.bytes,
            "seconds": round(seconds, 3),
            "mb_per_s": round(rate, 1),
        }
        self._trace(target, fetched.boot, "chunks", text, data)

    def _trace(self, target: Target, boot: str, kind: str, text: str, data: Document | None = None) -> None:
        self._emit(TraceEvent(time.time(), "http", kind, text, target.board, None, boot, data or {}))


async def reported(rack: Rack, kind: str, board: str, boot: str, body: Document) -> int:
    """Hand a report to the rack; returns the HTTP status it wants it answered with.

    Raises:
        Refused: The rack did not take it in time; who reports is to come again.
    """
    try:
        async with asyncio.timeout(RACK_SECONDS):
            return await rack.report(kind, board, boot, body)
    except TimeoutError:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the rack did not answer; come again") from None


def _index_of(target: Target) -> JSON:
    """The chunk index of the image that a board's step installs; None: it does not."""
    params = target.step.get("params") if target.step else None
    return params.get("index") if isinstance(params, dict) else None


def _check_index(target: Target, artefact: str) -> None:
    if _index_of(target) != artefact or not _SHA256.match(artefact):
        raise Refused(HTTPStatus.NOT_FOUND, "not an index of this board's step")


def _object(raw: bytes) -> Document:
    """The JSON object in a body."""
    try:
        return foreign_object(raw)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not a JSON object we can take: {error}") from None
