"""The DHCPv6 server's sockets: where it listens, and what it hands to the loop."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from hostler.netboot.dhcp6_exchange import Dhcp6Exchange, Reply6, Source6
from hostler.netboot.dhcp_loop import DhcpLoop, DhcpServerError, Port, widen
from hostler.netboot.interface6 import check_address
from hostler.netboot.lease_journal import LeaseJournalError, read_journal
from hostler.netboot.leases import RECORD6_SIZE, read_records6
from hostler.netboot.served_network6 import ServedNetwork6
from hostler.netboot.setup import DUID_FILE, LEASES6_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from pathlib import Path

    from hostler.model.trace import TraceEvent
    from hostler.netboot.first_stage_watch import FirstStageWatch
    from hostler.netboot.leases import Lease
    from hostler.netboot.table import BootTable, NetworkConfig

ALL_SERVERS_AND_RELAYS = "ff02::1:2"
# Longer datagrams are cut, and then refused by the parser; no client sends them.
_LONGEST = 4096
_PACKET_INFO = socket.CMSG_SPACE(20)
_DUID_UUID = b"\x00\x04"


class _Outgoing(NamedTuple):
    """A reply with the interface it leaves by: link-local addresses mean nothing without."""

    data: bytes
    destination: tuple[Any, ...]
    durable: bool
    event: TraceEvent | None


class Dhcp6Server:
    """DHCPv6 for one group of networks; those without an IPv6 address are left out.

    Args:
        networks: Where to answer; each on its own interface, or through relays that another one reaches.
        table: The boards, read for each request.
        emit: Takes trace events, from the server's thread; must not block.
        state_dir: Where its leases and its DUID are kept.
        boot_files: Names that the TFTP server can serve.
        first_stages: Knows whose firmware does not start iPXE.
        clock: Unix time.
    """

    def __init__(
        self,
        networks: Sequence[NetworkConfig],
        table: BootTable,
        emit: Callable[[TraceEvent], None],
        *,
        state_dir: Path,
        boot_files: Container[str],
        first_stages: FirstStageWatch | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._networks = tuple(ServedNetwork6(config) for config in networks if config.subnet6 is not None)
        self._state_dir = state_dir
        self._table, self._boot_files, self._emit = table, boot_files, emit
        self._first_stages = first_stages
        self._records: list[bytes] = []
        self._loop = DhcpLoop("dhcp6", self._records, self._all_records, emit, clock)

    def open(self) -> None:
        """Open the sockets, in the calling thread's network namespace, and read the leases.

        Raises:
            DhcpServerError: A port, an interface, an address or a file cannot be used.
        """
        if not self._networks:
            return
        try:
            duid = _own_duid(self._state_dir / DUID_FILE)
            exchange = Dhcp6Exchange(
                self._networks,
                self._table,
                self._boot_files,
                duid,
                self._emit,
                self._records,
                self._first_stages,
            )
            for network in self._networks:
                if network.config.behind is None:
                    self._listen(network, exchange)
            state = self._state_dir / LEASES6_FILE
            leases = list(read_records6(read_journal(state, RECORD6_SIZE)))
            for network in self._networks:
                network.leases.restore(lease for lease in leases if network.contains(lease.address))
            self._loop.open(state)
        except (DhcpServerError, LeaseJournalError) as error:
            self._loop.close()
            raise DhcpServerError(str(error)) from error

    def start(self) -> None:
        """Start answering in a thread of its own; ``open`` comes first."""
        if self._networks:
            self._loop.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop answering, write what is to be written, close the sockets; waits ``timeout`` s at most."""
        self._loop.stop(timeout)

    def mac_of(self, address: str) -> str | None:
        """Return the MAC, or what stands for it, that has an IPv6 address, or None; from any thread."""
        for network in self._networks:
            if (mac := network.leases.mac_of(address)) is not None:
                return mac
        return None

    def leases(self) -> list[Lease]:
        """Return all leases, for people; from any thread."""
        return [lease for network in self._networks for lease in network.leases]

    def _listen(self, network: ServedNetwork6, exchange: Dhcp6Exchange) -> None:
        config = network.config
        opened = open_socket6(config)
        scope = socket.if_nametoindex(config.interface)
        take = partial(self._answer, opened, network, exchange, scope)
        self._loop.add(Port(config.name, config.interface, opened, take))

    def _all_records(self) -> bytes:
        return b"".join(network.leases.records() for network in self._networks)

    @staticmethod
    def _answer(
        sock: socket.socket, network: ServedNetwork6, exchange: Dhcp6Exchange, scope: int, now: float
    ) -> _Outgoing | None:
        datagram, control, _, sender = sock.recvmsg(_LONGEST, _PACKET_INFO)
        multicast = any(
            level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and data[:1] == b"\xff"
            for level, kind, data in control
        )
        source = socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])
        reply = exchange.receive(datagram, network, Source6(source, multicast), now)
        return None if reply is None else _leaving(reply, scope)


def _leaving(reply: Reply6, scope: int) -> _Outgoing:
    address, port = reply.destination
    link_local = address.startswith("fe80:")
    return _Outgoing(reply.data, (address, port, 0, scope if link_local else 0), reply.durable, reply.event)


def open_socket6(config: NetworkConfig) -> socket.socket:
    """Return a socket that hears what clients and relays send on one network.

    Raises:
        DhcpServerError: It cannot be had.
    """
    assert config.address6 is not None
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        check_address(config.interface, config.address6)
        widen(sock)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, config.interface.encode())
        index = socket.if_nametoindex(config.interface)
        group = socket.inet_pton(socket.AF_INET6, ALL_SERVERS_AND_RELAYS) + struct.pack("@I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        sock.bind(("::", config.dhcp6_port))
    except OSError as error:
        sock.close()
        raise DhcpServerError(f"network {config.name}: {_advice(error, config)}") from error
    return sock


def _advice(error: OSError, config: NetworkConfig) -> str:
    port = f"UDP port {config.dhcp6_port} (DHCPv6) on {config.interface}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{port} is in use; another DHCPv6 server runs here:"
            f" find it with `ss -ulnp sport = {config.dhcp6_port}` and stop it"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{port} is not permitted; run as root, or grant CAP_NET_BIND_SERVICE and CAP_NET_RAW"
    return f"{port} cannot be opened: {error.strerror}"


def _own_duid(path: Path) -> bytes:
    """The name clients know this server by: made once, and kept, for a client asks for it by name.

    Raises:
        DhcpServerError: It can be neither read nor written.
    """
    try:
        try:
            text = path.read_text().strip()
        except FileNotFoundError:
            return _made_duid(path)
        duid = bytes.fromhex(text)
    except OSError as error:
        raise DhcpServerError(f"the server's DUID in {path}: {error.strerror}") from error
    except ValueError:
        duid = b""
    if len(duid) != 18 or not duid.startswith(_DUID_UUID):
        raise DhcpServerError(
            f"{path} is not a DUID-UUID in hexadecimal digits; remove it, a new one is made"
        )
    return duid


def _made_duid(path: Path) -> bytes:
    duid = _DUID_UUID + uuid4().bytes
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(f"{duid.hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return duid
