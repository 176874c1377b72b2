"""The DHCP server's sockets: where it listens, and what it hands to the loop."""

from __future__ import annotations

import errno
import logging
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

from hostler.model.first_stages import BIOS_FILE, UEFI_X64_FILE
from hostler.netboot.dhcp_exchange import DhcpExchange, Reply
from hostler.netboot.dhcp_loop import DhcpLoop, DhcpServerError, Port, widen
from hostler.netboot.dhcp_others import OtherServers, open_ears
from hostler.netboot.dhcp_proxy import BINL_PORT
from hostler.netboot.lease_journal import LeaseJournalError, read_journal
from hostler.netboot.leases import read_records
from hostler.netboot.neighbours import neighbour_mac
from hostler.netboot.served_network import ServedNetwork
from hostler.netboot.table import DhcpMode

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from pathlib import Path

    from hostler.model.trace import TraceEvent
    from hostler.netboot.first_stage_watch import FirstStageWatch
    from hostler.netboot.leases import Lease
    from hostler.netboot.table import BootTable, NetworkConfig

log = logging.getLogger(__name__)

DEFAULT_BOOT_FILES = frozenset((BIOS_FILE, UEFI_X64_FILE))

# Longer datagrams are cut, and then refused by the parser; no client sends them.
_LONGEST = 4096


class DhcpServer:
    """DHCP for one group of networks.

    Args:
        networks: Where to answer; each on its own interface, or through relays that another one reaches.
        table: The boards, read for each request.
        emit: Takes trace events, from the server's thread; must not block.
        state: File that keeps the leases; its folder must exist.
        boot_files: Names that the TFTP server can serve.
        clock: Unix time.
        first_stages: Knows whose firmware does not start iPXE.
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
        first_stages: FirstStageWatch | None = None,
    ) -> None:
        self._networks = tuple(ServedNetwork(config) for config in networks)
        self._exchange = DhcpExchange(self._networks, table, boot_files, emit, first_stages)
        self._others_give = any(config.dhcp is not DhcpMode.OWN for config in networks)
        self._state = state
        self._others = OtherServers({str(config.server) for config in networks}, table, emit)
        self._loop = DhcpLoop("dhcp", self._exchange.records, self._all_records, emit, clock)

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
                    self._add(network, opened, partial(self._answer, opened, network))
                if DhcpMode.PROXY in modes:
                    opened = open_socket(network.config, alone=len(here) == 1, binl=True)
                    self._add(network, opened, partial(self._answer, opened, network, binl=True))
                self._listen_to_others(network)
            leases = list(read_records(read_journal(self._state)))
            for network in self._networks:
                network.leases.restore(lease for lease in leases if network.contains(lease.address))
            self._loop.open(self._state)
        except (DhcpServerError, LeaseJournalError) as error:
            self._loop.close()
            raise DhcpServerError(str(error)) from error

    def start(self) -> None:
        """Start answering in a thread of its own; ``open`` comes first."""
        self._loop.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop answering, write what is to be written, close the sockets; waits ``timeout`` s at most."""
        self._loop.stop(timeout)

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
            self._add(network, ears, partial(self._hear_others, ears, network))

    def _add(
        self, network: ServedNetwork, opened: socket.socket, take: Callable[[float], Reply | None]
    ) -> None:
        self._loop.add(Port(network.config.name, network.config.interface, opened, take))

    def _all_records(self) -> bytes:
        return b"".join(network.leases.records() for network in self._networks)

    def _answer(
        self, sock: socket.socket, network: ServedNetwork, now: float, *, binl: bool = False
    ) -> Reply | None:
        datagram, source = sock.recvfrom(_LONGEST)
        return self._exchange.receive(datagram, network, now, source if binl else None)

    def _hear_others(self, sock: socket.socket, network: ServedNetwork, now: float) -> None:
        packet, sender = sock.recvfrom(_LONGEST)
        self._others.hear(packet, sender[4].hex(":"), network.config, now)


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
        widen(sock)
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
