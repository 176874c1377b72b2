"""The HTTP boot listener: boot scripts, kernels, the agent's configuration, and the agent's door.

It runs on the boards' networks, apart from the API, and knows no users: who asks is who holds the lease
of the asking address, and an agent shows the token of its boot. Bulk leaves by sendfile.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import time
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from hostler.model.boot import BootIntent
from hostler.model.trace import TraceEvent, printable
from hostler.netboot.agent_door import AgentDoor, Rack
from hostler.netboot.boot_urls import BootUrls, url
from hostler.netboot.config_cpio import config_cpio
from hostler.netboot.file_response import send_file
from hostler.netboot.http_connections import BootConnections
from hostler.netboot.http_names import NamedFiles
from hostler.netboot.http_stalls import HttpStalls
from hostler.netboot.interface6 import bind as bind6
from hostler.netboot.interface6 import check_address
from hostler.netboot.ipxe_identity import Told, board_of, render_question, told
from hostler.netboot.media_door import MediaDoor
from hostler.netboot.payload import payload
from hostler.netboot.quoting import QuotingError
from hostler.netboot.refused import Refused
from hostler.netboot.render_ipxe import render_ipxe
from hostler.netboot.system_door import SystemDoor
from hostler.netboot.transfer_looks import looked_at, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hostler.model.json import Document
    from hostler.netboot.chunk_shelf import Elsewhere
    from hostler.netboot.table import Address, BootTable, NetworkConfig, Target
    from hostler.netboot.virtual_file import VirtualFile

log = logging.getLogger(__name__)

DEAD_LINE_MS = 120_000
"""A peer that takes nothing for this long is gone; an agent's disk may stall for a while."""
IDLE_SECONDS = 75.0

_SLASHES = re.compile(r"/{2,}")
_STAGES = ("kernel", "config", "initrd", "boot")


class HttpBindError(Exception):
    """The listener cannot have its port; the message says which, and what to do."""


class BootHttp:
    """The listener on all networks that share a namespace.

    Args:
        table: What every board is to do.
        networks: Where to listen: each network's own addresses and ``http_port``.
        mac_of: MAC that holds the lease of an address, or None.
        emit: Takes trace events; never blocks.
        rack: Takes agents' reports and signs of life.
        store: Root of the chunk store.
        open_file: Returns the file that TFTP serves under a name to a client, or None.
        elsewhere: Images that are at home on another server; None: there are none.
    """

    def __init__(
        self,
        table: BootTable,
        networks: Iterable[NetworkConfig],
        mac_of: Callable[[Address], str | None],
        emit: Callable[[TraceEvent], None],
        rack: Rack,
        store: Path,
        open_file: Callable[[Address, str], VirtualFile | None],
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._table = table
        self._networks = tuple(networks)
        self._urls = BootUrls(self._networks)
        self._mac_of = mac_of
        self._emit = emit
        self._names = NamedFiles(open_file, emit)
        self._door = AgentDoor(table, store, mac_of, emit, rack, self._networks, elsewhere)
        self._media = MediaDoor(table, self._networks, mac_of, emit)
        self._systems = SystemDoor(table, mac_of, emit, rack)
        self._runner: web.ServerRunner | None = None
        self._stalls: HttpStalls | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            HttpBindError: A port is taken or not permitted; nothing listens then.
        """
        sockets = _listening(self._networks)
        server = BootConnections(
            self.handle, self._spoke_tls, access_log=None, keepalive_timeout=IDLE_SECONDS,
            auto_decompress=False,
        )  # fmt: skip
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        for listening in sockets:
            await web.SockSite(self._runner, listening, backlog=1024).start()
        self._stalls = HttpStalls(
            lambda: [handler.transport for handler in server.connections], self._stalled
        )
        self._stalls.start()

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        if self._stalls is not None:
            self._stalls.stop()
            self._stalls = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._door.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._route(request)
        except Refused as refused:
            headers = {hdrs.CONNECTION: "close"} if request.can_read_body else {}
            if refused.status is HTTPStatus.UNAUTHORIZED:
                headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
            return web.Response(status=refused.status, text=f"{refused}\n", headers=headers)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        client = _peer(request)
        # iPXE joins URLs so that a path may begin with two slashes; a redirect would cost a small client
        # dear.
        path = _SLASHES.sub("/", request.path)
        if path.startswith("/agent/"):
            return await self._door.handle(request, path.removeprefix("/agent/"), client)
        if MediaDoor.answers(path):
            return self._media.handle(request, client, _base(request))
        if SystemDoor.answers(path):
            return await self._systems.handle(request, path, client, _base(request))
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "use GET or HEAD")
        mac = self._mac_of(client)
        target = self._table.by_mac(mac) if mac else None
        if path == "/boot/ipxe":
            return self._script(request, client, mac, target)
        if path == "/boot/config.cpio":
            return self._config(request, client, mac, target)
        if path.startswith("/boot/file/"):
            return await self._file(request, path.removeprefix("/boot/file/"), client, mac, target)
        if path.startswith("/boot/"):
            return await self._names.answer(request, path.removeprefix("/boot/"), client, target, mac)
        self._trace("missing", f"{_who(target, client)}: no {printable(path, 100)}", target, mac)
        raise Refused(HTTPStatus.NOT_FOUND, "nothing here")

    def _script(
        self, request: web.BaseRequest, client: Address, mac: str | None, target: Target | None
    ) -> web.Response:
        conflict = ""
        if target is None:
            says = told(request.query)
            if says is None:
                return web.Response(text=render_question(_base(request)))
            target, conflict = self._identified(client, mac, says)
        stage = request.query.get("failed")
        if stage in _STAGES:
            self._trace("failed", f"{_who(target, client)}: iPXE could not get its {stage}", target, mac)
        network = self._urls.network_of(client)
        lease = network.lease_seconds if network is not None else 3600
        text = render_ipxe(target, _base(request), lease, self._system_base(request, client), conflict)
        intent = target.intent if target else BootIntent.HOLD
        kind = "head" if request.method == hdrs.METH_HEAD else "get"
        data: Document = {"file": "ipxe", "intent": str(intent), "bytes": len(text)}
        self._trace(kind, f"{_who(target, client)}: iPXE asks; told: {intent}", target, mac, data)
        return web.Response(text=text)

    def _identified(self, client: Address, mac: str | None, says: Told) -> tuple[Target | None, str]:
        """The board that says this of itself, and why it cannot be told which one it is."""
        target, conflict = board_of(self._table, says)
        if target is not None and mac is not None:
            self._table.stand_in(mac, target.board)  # so that its next requests are known
            text = f"{target.board}: asks by {mac}, which the inventory lacks; known by what else it says"
            self._trace("identified", text, target, mac, says.to_json())
        elif conflict:
            self._trace("conflict", f"{_who(None, client)} is held: {conflict}", None, mac, says.to_json())
        return target, conflict

    def _system_base(self, request: web.BaseRequest, client: Address) -> str:
        """URL by which the system that this client starts reaches us."""
        return (self._urls.system(client) if client.version == 6 else None) or _base(request)

    def _config(
        self, request: web.BaseRequest, client: Address, mac: str | None, target: Target | None
    ) -> web.Response:
        body = None
        if target is not None and target.intent is BootIntent.STEP and target.netboot is None:
            body = config_cpio(target, self._system_base(request, client))
        if target is None or body is None:
            raise Refused(HTTPStatus.FORBIDDEN, "there is no work for this machine")
        kind = "head" if request.method == hdrs.METH_HEAD else "get"
        data: Document = {"file": "config", "bytes": len(body)}
        self._trace(kind, f"{target.board}: agent's configuration", target, mac, data)
        return web.Response(body=body, content_type="application/octet-stream")

    async def _file(
        self,
        request: web.BaseRequest,
        artefact: str,
        client: Address,
        mac: str | None,
        target: Target | None,
    ) -> web.StreamResponse:
        who = _who(target, client)
        if target is None or target.intent is not BootIntent.STEP:
            self._trace("refused", f"{who}: nothing is to be fetched by it now", target, mac)
            raise Refused(HTTPStatus.FORBIDDEN, "nothing is to be fetched by this machine now")
        name = _served(target, artefact, _base(request))
        path = self._table.artefact(artefact) if name else None
        if name is None or path is None:
            self._trace("missing", f"{who}: no file {printable(artefact, 64)}", target, mac)
            raise Refused(HTTPStatus.NOT_FOUND, "no such file for this machine")
        head = request.method == hdrs.METH_HEAD
        data: Document = {"file": name}
        if hdrs.RANGE in request.headers:
            data["range"] = printable(request.headers[hdrs.RANGE], 64)
        self._trace("head" if head else "get", f"{who}: {name}", target, mac, data)

        def slow(arrived: int, seconds: float) -> None:
            so_far: Document = {**data, "arrived": arrived, "size": size}
            self._trace("slow", f"{who}: {words(name, arrived, size, seconds)}", target, mac, so_far)

        try:
            size = path.stat().st_size
            with looked_at(request, slow):
                response, transfer = await send_file(request, path, artefact)
        except OSError as error:
            log.warning("%s: %s", path, error.strerror)
            self._trace("missing", f"{who}: {name}: {error.strerror}", target, mac)
            raise Refused(HTTPStatus.NOT_FOUND, "the file cannot be read") from error
        if not head:
            rate = transfer.megabytes_per_second
            done: Document = {
                "file": name,
                "bytes": transfer.bytes,
                "seconds": round(transfer.seconds, 3),
                "mb_per_s": round(rate, 1),
                "retransmits": transfer.sent_again,
            }
            kind, word = ("done", "sent") if transfer.complete else ("aborted", "broken off")
            text = f"{who}: {name} {word}, {transfer.bytes / 1e6:.1f} MB at {rate:.1f} MB/s"
            text += f"; {transfer.sent_again} packets were sent again" if transfer.sent_again else ""
            self._trace(kind, text, target, mac, done)
        return response

    def _stalled(self, client: str, packet: int, words: str) -> None:
        mac = self._mac_of(ip_address(client))
        target = self._table.by_mac(mac) if mac else None
        self._trace("mtu", f"{target.board if target else client} {words}", target, mac, {"packet": packet})

    def _spoke_tls(self, client: str) -> None:
        address = ip_address(client.partition("%")[0])
        mac = self._mac_of(address)
        target = self._table.by_mac(mac) if mac else None
        self._trace("tls", f"{_who(target, address)} speaks TLS to a port of plain HTTP", target, mac)

    def _trace(
        self, kind: str, text: str, target: Target | None, mac: str | None, data: Document | None = None
    ) -> None:
        board, boot = (target.board, target.boot) if target else (None, None)
        self._emit(TraceEvent(time.time(), "http", kind, text, board, mac, boot, data or {}))


def _served(target: Target, artefact: str, base: str) -> str | None:
    """What an artefact is to a board that is to run a step, or None: it is not for this board."""
    try:
        system = payload(target, base)
    except QuotingError:
        return None
    return {system.kernel: "kernel", system.initrd: "initrd"}.get(artefact)


def _who(target: Target | None, client: Address) -> str:
    return target.board if target else f"unknown machine {client}"


def _peer(request: web.BaseRequest) -> Address:
    try:
        # A link-local address comes with its interface.
        return ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        raise Refused(HTTPStatus.FORBIDDEN, "who is asking?") from None


def _base(request: web.BaseRequest) -> str:
    """URL by which this client reached us: the network's own address, whatever its Host header says."""
    if request.transport is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "gone")
    host, port = request.transport.get_extra_info("sockname")[:2]
    return url(host, port)


def _listening(networks: Iterable[NetworkConfig]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for network in networks:
        if network.behind is not None:
            continue  # reached by the network its relays are on
        for server in (network.server, network.server6):
            if server is None:
                continue
            listening = socket.socket(
                socket.AF_INET if server.version == 4 else socket.AF_INET6, socket.SOCK_STREAM
            )
            sockets.append(listening)
            try:
                _listen(listening, network, server)
            except OSError as error:
                for opened in sockets:
                    opened.close()
                raise HttpBindError(
                    f"network {network.name}: cannot serve HTTP boot on {network.interface} {server} "
                    f"port {network.http_port}: {error.strerror}. Stop what listens there or choose another "
                    "http_port; the interface must exist and have the address."
                ) from error
    return sockets


def _listen(listening: socket.socket, network: NetworkConfig, server: Address) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit both: a board that lost its power does not hold a transfer for ever.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_LINE_MS)
    if server.version == 6 and network.address6 is not None:
        check_address(network.interface, network.address6)
        bind6(listening, network.interface, str(server), network.http_port)
    else:
        # Only who is on the network itself; without the right to say so, the address has to do.
        with contextlib.suppress(PermissionError):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, network.interface.encode())
        listening.bind((str(server), network.http_port))
    listening.listen(1024)
