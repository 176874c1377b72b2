"""The TFTP server: one thread, one epoll loop, one connected socket per transfer.

It holds no files of its own. A callback, which answers from memory, says what a client may read under a name.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from hostler.netboot.interface6 import Address6Error, check_address
from hostler.netboot.interface6 import bind as bind6
from hostler.netboot.table import NetworkConfig
from hostler.netboot.tftp_block_limits import BlockLimits
from hostler.netboot.tftp_trace import ended, slow, stalled, started, trace
from hostler.netboot.tftp_transfer import Transfer, connect, largest_block
from hostler.netboot.transfer_looks import LOOK_SECONDS, MOST_LOOKS
from hostler.netboot.virtual_file import VirtualFile, VirtualFileError
from hostler.wire.tftp import (
    LARGEST_WINDOW,
    ErrorCode,
    ReadRequest,
    TftpError,
    clean_name,
    error_packet,
    parse_request,
    to_netascii,
)
from hostler.wire.tftp_blocks import BlockShare
from hostler.wire.tftp_session import IDLE_SECONDS, PACE_SECONDS, TftpSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostler.model.trace import TraceEvent
    from hostler.netboot.tftp_transfer import Peer

    Address = IPv4Address | IPv6Address
    OpenFile = Callable[[Address, str], VirtualFile | None]

LONGEST_REQUEST: Final = 2048
REQUESTS_A_TURN: Final = 32  # so that a storm of requests does not starve running transfers
EVENTS_A_TURN: Final = 256
SWEEP_SECONDS: Final = 0.05  # how late a retransmission may be
REMEMBERED_CLIENTS: Final = 4096
REFUSALS_TOLD_A_SECOND: Final = 200
STOP_SECONDS: Final = 5.0


class TftpStartError(Exception):
    """The server cannot listen; the text says where, why and what to do."""


@dataclass(frozen=True, slots=True)
class TftpLimits:
    """What the server lets itself be asked for.

    Attributes:
        transfers: Running at once, over all networks.
        per_client: Running at once for one address.
        idle_seconds: Silence after which a transfer is given up.
        max_window: Blocks in flight at most (RFC 7440).
        text_bytes: Largest file converted for a netascii client, in memory.
        look_seconds: How often is told how far a transfer is.
    """

    transfers: int = 1024
    per_client: int = 16
    idle_seconds: float = IDLE_SECONDS
    max_window: int = LARGEST_WINDOW
    text_bytes: int = 1024 * 1024
    look_seconds: float = LOOK_SECONDS


@dataclass(frozen=True, slots=True)
class _Listener:
    socket: socket.socket
    network: NetworkConfig
    device: str | None
    local: Address


class _Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    def __init__(self, code: ErrorCode, answer: str, kind: str, text: str) -> None:
        super().__init__(text)
        self.code, self.answer, self.kind, self.text = code, answer, kind, text


class TftpServer:
    """Serve boot files on some networks.

    Args:
        networks: Where to listen; each on its own addresses, bound to its interface where that is permitted.
        open_file: Says what a client reads under a cleaned name (``a/b``, never ``..``); None: not found.
            Called in the server's thread, so it answers from memory. The server closes the file.
        emit: Takes trace events; called in the server's thread, never blocks. ``data["client"]`` tells who.
        limits: See ``TftpLimits``.
    """

    def __init__(
        self,
        networks: Sequence[NetworkConfig],
        open_file: OpenFile,
        emit: Callable[[TraceEvent], None],
        limits: TftpLimits = TftpLimits(),
    ) -> None:
        self._networks = tuple(networks)
        self._open_file = open_file
        self._emit = emit
        self._limits = limits
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wake = -1
        self._epoll: select.epoll | None = None
        self._listeners: dict[int, _Listener] = {}
        self._transfers: dict[int, Transfer] = {}
        self._peers: dict[tuple[str, Peer], Transfer] = {}
        self._clients: Counter[Address] = Counter()
        self._windows: OrderedDict[Address, int] = OrderedDict()
        self._block_limits = BlockLimits()
        self._share = BlockShare()
        self._refusals = (0, 0)  # second, told in it

    @property
    def running(self) -> bool:
        """True while the loop lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Open the sockets in the caller's network namespace and start the loop.

        Raises:
            TftpStartError: A network cannot be listened on; nothing is left open.
        """
        _raise_file_limit(2 * self._limits.transfers + 256)
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._stopping = False
        try:
            for network in self._networks:
                for listener in _listen(network):
                    self._listeners[listener.socket.fileno()] = listener
                    self._epoll.register(listener.socket.fileno(), select.EPOLLIN)
        except TftpStartError:
            self._close()
            raise
        self._thread = threading.Thread(target=self._run, name="tftp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the loop, drop running transfers, close all sockets; harmless if not running."""
        if self._thread is not None:
            self._stopping = True
            os.eventfd_write(self._wake, 1)
            self._thread.join(STOP_SECONDS)
            self._thread = None
            self._close()

    def _close(self) -> None:
        for transfer in self._transfers.values():
            transfer.close()
        for listener in self._listeners.values():
            listener.socket.close()
        for table in (self._transfers, self._listeners, self._peers, self._clients):
            table.clear()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        os.close(self._wake)
        self._wake = -1

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:
            self._emit(trace(time.time(), "error", f"the TFTP server stopped: {error!r}", None))
            raise

    def _loop(self) -> None:
        assert self._epoll is not None
        poll, transfers, listeners = self._epoll.poll, self._transfers, self._listeners
        monotonic = time.monotonic
        paused: set[Transfer] = set()
        sweep_at = 0.0
        while not self._stopping:
            ready = poll(PACE_SECONDS if paused else SWEEP_SECONDS if transfers else -1, EVENTS_A_TURN)
            now = monotonic()
            for descriptor, _ in ready:
                transfer = transfers.get(descriptor)
                if transfer is not None:
                    if transfer.ready(now):
                        if transfer.session.over:
                            self._end(transfer)
                        elif transfer.session.paused:
                            paused.add(transfer)
                elif descriptor in listeners:
                    self._accept(listeners[descriptor], now)
            if paused:
                for transfer in paused:
                    transfer.tick(now)
                paused = {transfer for transfer in paused if transfer.session.paused}
            if now >= sweep_at:
                sweep_at = now + SWEEP_SECONDS
                for transfer in list(transfers.values()):
                    transfer.tick(now)
                    if transfer.session.blocks_lost:
                        self._look_at_stalled(transfer)
                    self._look_at_long(transfer, now)
                    if transfer.session.over:
                        self._end(transfer)

    def _accept(self, listener: _Listener, now: float) -> None:
        """Take new requests."""
        for _ in range(REQUESTS_A_TURN):
            try:
                datagram, peer = listener.socket.recvfrom(LONGEST_REQUEST)
            except OSError:
                return  # no more, or the interface went away
            try:
                self._begin(listener, datagram, peer, now)
            except TftpError as error:
                if error.code is not None:
                    self._refuse(listener, peer, error.code, str(error), "error", f"request refused: {error}")
            except _Refused as refusal:
                self._refuse(listener, peer, refusal.code, refusal.answer, refusal.kind, refusal.text)
            except OSError as error:
                reason = error.strerror or str(error)
                self._refuse(
                    listener, peer, ErrorCode.UNDEFINED, "server error", "error", f"no transfer: {reason}"
                )

    def _begin(self, listener: _Listener, datagram: bytes, peer: Peer, now: float) -> None:
        request = parse_request(datagram)
        key = (listener.network.name, peer)
        old = self._peers.get(key)
        if old is not None:
            if old.session.untouched and old.request == request:
                return  # the client repeats itself; the first answer is repeated by its timer
            old.session.peer_gone(now, "the client started over")
            self._end(old)
        client = _address(peer)
        self._check_room(client)
        name = clean_name(request.name)
        file = self._provide(client, name)
        try:
            file = self._as_asked(file, request, name)
            sock = connect(listener.local, peer, listener.device)
            session = TftpSession(
                request,
                file,
                now,
                max_block=self._block_limits.largest(client, largest_block(sock)),
                max_window=self._windows.get(client, self._limits.max_window),
                idle_seconds=self._limits.idle_seconds,
                share=self._share,
            )
        except BaseException:
            file.close()
            raise
        transfer = Transfer(sock, session, file, client, key, name, request)
        self._transfers[sock.fileno()] = self._peers[key] = transfer
        self._clients[client] += 1
        assert self._epoll is not None
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        self._emit(started(transfer, time.time()))
        transfer.send(now)

    def _check_room(self, client: Address) -> None:
        busy = None
        if len(self._transfers) >= self._limits.transfers:
            busy = f"{self._limits.transfers} transfers are running"
        elif self._clients[client] >= self._limits.per_client:
            busy = f"{client} has {self._limits.per_client} transfers running"
        if busy:
            raise _Refused(ErrorCode.UNDEFINED, f"busy: {busy}, try again", "error", f"refused: {busy}")

    def _provide(self, client: Address, name: str) -> VirtualFile:
        try:
            file = self._open_file(client, name)
        except VirtualFileError as error:
            text = f"{name} cannot be served: {error}"
            raise _Refused(ErrorCode.NOT_FOUND, "file not available", "notfound", text) from error
        except Exception as error:  # one broken answer must not end all others
            text = f"{name} cannot be served: {error!r}"
            raise _Refused(ErrorCode.UNDEFINED, "server error", "error", text) from error
        if file is None:
            raise _Refused(ErrorCode.NOT_FOUND, "file not found", "notfound", f"no file {name} for {client}")
        return file

    def _as_asked(self, file: VirtualFile, request: ReadRequest, name: str) -> VirtualFile:
        """Return the file itself, or for a netascii client its text with network line ends."""
        if not request.text:
            return file
        if file.size > self._limits.text_bytes:
            text = f"{name} asked for as text, but it has {file.size} bytes"
            raise _Refused(ErrorCode.ILLEGAL, "too large for netascii, use octet mode", "error", text)
        converted = VirtualFile(to_netascii(file.read_at(0, file.size)))
        file.close()
        return converted

    def _end(self, transfer: Transfer) -> None:
        for event in transfer.session.events():
            self._emit(ended(transfer, event, time.time()))
        self._remember_window(transfer)
        del self._transfers[transfer.fileno()]
        if self._peers.get(transfer.key) is transfer:
            del self._peers[transfer.key]
        self._clients[transfer.client] -= 1
        if not self._clients[transfer.client]:
            del self._clients[transfer.client]
        transfer.close()  # which also takes it out of the epoll set

    def _look_at_stalled(self, transfer: Transfer) -> None:
        """Tell once that its first block does not come through; the client's next ones are smaller."""
        smaller = self._block_limits.stalled(transfer)
        if smaller is not None:
            self._emit(stalled(transfer, smaller, time.time()))

    def _look_at_long(self, transfer: Transfer, now: float) -> None:
        """Tell now and then how far a transfer is that goes on for long."""
        seconds = now - transfer.session.began
        if seconds >= self._limits.look_seconds * (transfer.looks + 1) and transfer.looks < MOST_LOOKS:
            transfer.looks += 1
            self._emit(slow(transfer, seconds, time.time()))

    def _remember_window(self, transfer: Transfer) -> None:
        """Agree to a smaller window next time with a client that lost packets, and to a larger one later."""
        session, client = transfer.session, transfer.client
        window = session.agreement.window
        if session.burst < window:
            self._windows[client] = session.burst
            if len(self._windows) > REMEMBERED_CLIENTS:
                self._windows.popitem(last=False)
        elif client in self._windows and window == self._windows[client]:
            self._windows[client] = 2 * window
            if 2 * window >= self._limits.max_window:
                del self._windows[client]

    def _refuse(
        self, listener: _Listener, peer: Peer, code: ErrorCode, answer: str, kind: str, text: str
    ) -> None:
        try:
            listener.socket.sendto(error_packet(code, answer), peer)
        except OSError as error:
            text += f" (and could not be told: {error.strerror})"
        second, told = int(time.monotonic()), self._refusals[1]
        if self._refusals[0] != second:
            told = 0
        self._refusals = (second, told + 1)
        if told < REFUSALS_TOLD_A_SECOND:  # anybody can make us refuse; nobody can fill our memory that way
            self._emit(trace(time.time(), kind, text, peer[0], code=int(code)))


def _address(peer: Peer) -> Address:
    """A link-local address comes with its interface."""
    return ip_address(str(peer[0]).partition("%")[0])


def _listen(network: NetworkConfig) -> list[_Listener]:
    """Open the listening sockets of a network."""
    listeners: list[_Listener] = []
    for local in (network.server, network.server6):
        if local is None:
            continue
        try:
            listeners.append(_listen_on(network, local))
        except TftpStartError:
            for listener in listeners:
                listener.socket.close()
            raise
    return listeners


def _listen_on(network: NetworkConfig, local: Address) -> _Listener:
    where = f"TFTP on {local} port {network.tftp_port} (network {network.name!r})"
    family = socket.AF_INET if local.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)  # 256 boards ask at once
        if network.address6 is not None and family == socket.AF_INET6:
            check_address(network.interface, network.address6)
            device = bind6(sock, network.interface, str(local), network.tftp_port)
        else:
            device = network.interface
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, network.interface.encode())
            except PermissionError:
                device = None  # binding to the address must do
            sock.bind((str(local), network.tftp_port))
    except Address6Error as error:
        sock.close()
        raise TftpStartError(f"{where}: {error.strerror}") from error
    except OSError as error:
        sock.close()
        advice = {
            errno.EADDRINUSE: "another server has the port; stop it (tftpd-hpa, atftpd, dnsmasq?), "
            "`ss -lunp` names it",
            errno.EACCES: "no permission; run as root or grant CAP_NET_BIND_SERVICE",
            errno.EADDRNOTAVAIL: f"the address is not on this host; `ip address add {network.address} "
            f"dev {network.interface}`",
            errno.ENODEV: f"there is no interface {network.interface!r}; see `ip link`",
        }.get(error.errno or 0, error.strerror)
        raise TftpStartError(f"{where}: {advice}") from error
    return _Listener(sock, network, device, local)


def _raise_file_limit(wanted: int) -> None:
    """Let this process open a socket and a file for each transfer; the default soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if most > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
