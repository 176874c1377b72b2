"""The DHCP server's sockets: a thread with its own epoll loop that moves bytes and waits for the disk.

It answers from memory. An ACK leaves when its lease is on disk; leases that change while the disk is busy
go there together.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from hostler.model.first_stages import BIOS_FILE, UEFI_X64_FILE
from hostler.model.trace import TraceEvent
from hostler.netboot.dhcp_exchange import DhcpExchange, Reply
from hostler.netboot.dhcp_others import OtherServers, open_ears
from hostler.netboot.dhcp_proxy import BINL_PORT
from hostler.netboot.lease_journal import LeaseJournal, LeaseJournalError, read_journal
from hostler.netboot.leases import read_records
from hostler.netboot.neighbours import neighbour_mac
from hostler.netboot.served_network import ServedNetwork
from hostler.netboot.table import DhcpMode

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from pathlib import Path

    from hostler.netboot.leases import Lease
    from hostler.netboot.table import BootTable, NetworkConfig

log = logging.getLogger(__name__)

DEFAULT_BOOT_FILES = frozenset((BIOS_FILE, UEFI_X64_FILE))

# Longer datagrams are cut, and then refused by the parser; no client sends them.
_LONGEST = 4096
# After so many datagrams of one socket the others have their turn, and the leases go to disk.
_BATCH = 128
# Half a second of a storm that Kea would lose: room for 5,000 datagrams.
_RECEIVE_BUFFER = 4 * 1024 * 1024
_SO_RCVBUFFORCE = 33
# Between two rounds: under load each round then has many datagrams, which costs half the CPU of
# waking for each; a lone client waits this much longer, and firmware does not notice.
_PAUSE_SECONDS = 0.001
_FAULT_SECONDS = 5.0


class DhcpServerError(RuntimeError):
    """The server cannot start; the text says why and what to do."""


class _Port(NamedTuple):
    network: ServedNetwork
    socket: socket.socket
    binl: bool = False


class DhcpServer:
    """DHCP for one group of networks.

    Args:
        networks: Where to answer; each on its own interface, or through relays that another one reaches.
        table: The boards, read for each request.
        emit: Takes trace events, from the server's thread; must not block.
        state: File that keeps the leases; its folder must exist.
        boot_files: Names that the TFTP server can serve.
        clock: Unix time.
    """

    def __init__(
        self,
        networks: Sequence[NetworkConfig],
        table: BootTable,
        emit: Callable[[TraceEvent], None],
        *,
        state: Path,
        boot_files: Container[str] = DEFAULT_BOOT_FILES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._networks = tuple(ServedNetwork(config) for config in networks)
        self._exchange = DhcpExchange(self._networks, table, boot_files, emit)
        self._others_give = any(config.dhcp is not DhcpMode.OWN for config in networks)
        self._emit = emit
        self._state = state
        self._clock = clock
        self._ports: dict[int, _Port] = {}
        self._ears: dict[int, _Port] = {}
        self._others = OtherServers({str(config.server) for config in networks}, table, emit)
        self._wake = -1
        self._stopping = False
        self._journal: LeaseJournal[list[tuple[socket.socket, Reply]]] | None = None
        self._thread = threading.Thread(target=self._run, name="dhcp", daemon=True)
        self._silent_until: dict[str, float] = {}

    def open(self) -> None:
        """Open the sockets, in the calling thread's network namespace, and read the leases.

        Raises:
            DhcpServerError: A port, an interface, an address or the lease file cannot be used.
        """
        try:
            here = [network for network in self._networks if network.config.behind is None]
            for network in here:
                modes = {
                    config.dhcp
                    for config in (other.config for other in self._networks)
                    if config.interface == network.config.interface
                }
                if DhcpMode.OWN in modes or DhcpMode.PROXY in modes:
                    shared = network.config.dhcp is not DhcpMode.OWN
                    opened = open_socket(network.config, alone=len(here) == 1, shared=shared)
                    self._ports[opened.fileno()] = _Port(network, opened)
                if DhcpMode.PROXY in modes:
                    opened = open_socket(network.config, alone=len(here) == 1, binl=True)
                    self._ports[opened.fileno()] = _Port(network, opened, binl=True)
                self._listen_to_others(network)
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._restore()
        except (DhcpServerError, LeaseJournalError) as error:
            self._close()
            raise DhcpServerError(str(error)) from error

    def start(self) -> None:
        """Start answering in a thread of its own; ``open`` comes first."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop answering, write what is to be written, close the sockets; waits ``timeout`` s at most."""
        self._stopping = True
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self._close()

    def mac_of(self, address: str) -> str | None:
        """Return the MAC that has an IPv4 address, or None; from any thread.

        By our leases, by what clients of another server said, or there by the kernel's neighbours.
        """
        for network in self._networks:
            mac = network.leases.mac_of(address)
            if mac is not None:
                return mac
        if self._others_give:
            return neighbour_mac(address)
        return None

    def leases(self) -> list[Lease]:
        """Return all leases, for people; from any thread."""
        return [lease for network in self._networks for lease in network.leases]

    def _listen_to_others(self, network: ServedNetwork) -> None:
        try:
            ears = open_ears(network.config.interface)
        except OSError as error:
            text = f"other DHCP servers on {network.config.interface} are not noticed: {error.strerror}"
            log.info("network %s: %s", network.config.name, text)
        else:
            self._ears[ears.fileno()] = _Port(network, ears)

    def _restore(self) -> None:
        leases = list(read_records(read_journal(self._state)))
        for network in self._networks:
            network.leases.restore(lease for lease in leases if network.contains(lease.address))
        self._journal = LeaseJournal(self._state, self._committed)
        self._journal.open(self._all_records())

    def _all_records(self) -> bytes:
        return b"".join(network.leases.records() for network in self._networks)

    def _committed(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        poll = select.epoll()
        try:
            poll.register(self._wake, select.EPOLLIN)
            for number in (*self._ports, *self._ears):
                poll.register(number, select.EPOLLIN)
            while not self._stopping:
                for number, _ in poll.poll():
                    if number == self._wake:
                        os.eventfd_read(number)
                        self._send_committed()
                    elif number in self._ears:
                        self._hear_others(self._ears[number])
                    else:
                        self._serve(self._ports[number])
                time.sleep(_PAUSE_SECONDS)
        finally:
            poll.close()

    def _hear_others(self, port: _Port) -> None:
        now = self._clock()
        for _ in range(_BATCH):
            try:
                packet, sender = port.socket.recvfrom(_LONGEST)
            except BlockingIOError:
                return
            except OSError as error:
                self._fault(
                    port.network, f"cannot listen on {port.network.config.interface}: {error.strerror}"
                )
                return
            try:
                self._others.hear(packet, sender[4].hex(":"), port.network.config, now)
            except Exception as error:  # noqa: BLE001 - one odd packet must not end the service for all
                self._fault(port.network, f"a packet of another server could not be read: {error!r}")

    def _serve(self, port: _Port) -> None:
        """Take what has arrived on one socket, answer what needs no disk, hand the rest to the journal."""
        network, sock, binl = port
        receive = self._exchange.receive
        waiting: list[tuple[socket.socket, Reply]] = []
        now = self._clock()
        for _ in range(_BATCH):
            try:
                datagram, source = sock.recvfrom(_LONGEST)
            except BlockingIOError:
                break
            except OSError as error:
                # The interface went down or away; it may come back.
                self._fault(network, f"cannot receive on {network.config.interface}: {error.strerror}")
                break
            try:
                reply = receive(datagram, network, now, source if binl else None)
            except Exception as error:  # noqa: BLE001 - one odd datagram must not end the service for all
                self._fault(network, f"a datagram could not be handled: {error!r}")
                continue
            if reply is None:
                continue
            if reply.durable:
                waiting.append((sock, reply))
            else:
                self._send(sock, reply)
        records = self._exchange.records
        if records and self._journal is not None:
            if self._journal.wants_all:
                self._journal.submit(self._all_records(), waiting, whole=True)
            else:
                self._journal.submit(b"".join(records), waiting)
            records.clear()

    def _send_committed(self) -> None:
        if self._journal is None:
            return
        for waiting, error in self._journal.commits():
            if error is not None:
                self._fault(self._networks[0], f"{error}; {len(waiting)} clients get no address until it can")
                continue
            for sock, reply in waiting:
                self._send(sock, reply)

    def _send(self, sock: socket.socket, reply: Reply) -> None:
        try:
            sock.sendto(reply.data, reply.destination)
        except OSError as error:
            # A full send buffer too: the client asks again.
            port = self._ports[sock.fileno()]
            self._fault(port.network, f"cannot send to {reply.destination[0]}: {error.strerror}")
            return
        if reply.event is not None:
            self._emit(reply.event)

    def _fault(self, network: ServedNetwork, text: str) -> None:
        """Trace a fault of ours, each at most once in some seconds: it may come with every datagram."""
        now = self._clock()
        kind = text.partition(":")[0]
        if self._silent_until.get(kind, 0.0) <= now:
            self._silent_until = {key: until for key, until in self._silent_until.items() if until > now}
            self._silent_until[kind] = now + _FAULT_SECONDS
            self._emit(TraceEvent(now, "dhcp", "fault", text, data={"network": network.config.name}))

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        for port in (*self._ports.values(), *self._ears.values()):
            port.socket.close()
        self._ports.clear()
        self._ears.clear()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


def open_socket(
    config: NetworkConfig, *, alone: bool, shared: bool = False, binl: bool = False
) -> socket.socket:
    """Return a socket that hears what clients and relays send on one network.

    Args:
        config: The network.
        alone: It is the only one, so the socket may do without being bound to its interface.
        shared: Another DHCP server may run on this host and have the port as well.
        binl: For ``BINL_PORT`` instead of the DHCP port.

    Raises:
        DhcpServerError: It cannot be had.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    where = f"network {config.name}"
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _widen(sock)
        _check_address(config)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, config.interface.encode() + b"\0")
        except PermissionError:
            if not alone:
                raise
        # To the address itself where clients are to see it as the sender.
        sock.bind((str(config.server), BINL_PORT) if binl else ("", config.dhcp_port))
    except OSError as error:
        sock.close()
        port = BINL_PORT if binl else config.dhcp_port
        raise DhcpServerError(f"{where}: {_advice(error, config, port)}") from error
    except DhcpServerError as error:
        sock.close()
        raise DhcpServerError(f"{where}: {error}") from error
    return sock


def _check_address(config: NetworkConfig) -> None:
    if config.interface not in (name for _, name in socket.if_nameindex()):
        raise DhcpServerError(f"there is no interface {config.interface} here; see `ip link`")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(config.server), 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            command = f"ip address add {config.address} dev {config.interface}"
            raise DhcpServerError(f"{config.server} is not an address of this host; `{command}`") from error


def _widen(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


def _advice(error: OSError, config: NetworkConfig, number: int) -> str:
    port = f"UDP port {number} on {config.interface}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{port} is in use; another DHCP server runs here:"
            f" find it with `ss -ulnp sport = {number}` and stop it"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{port} is not permitted; run as root, or grant CAP_NET_BIND_SERVICE and CAP_NET_RAW"
    return f"{port} cannot be opened: {error.strerror}"
