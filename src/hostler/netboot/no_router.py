"""Tells hosts that ask for an IPv6 router that there is none to wait for, and where addresses come from.

iPXE configures IPv4 and IPv6 at once and boots when both have ended. Where nobody answers its router
solicitations, that is 16 seconds after DHCP (measured with 1.0.0+git-20190125), at every start. An
advertisement with a router lifetime of zero, no prefix and no flags (RFC 4861, 4.2) says: no default
router here, no addresses to be had. It changes nothing for a host and ends the wait at once; a real IPv6
router on the same network goes on to say what it says.

Where Hostler answers DHCPv6, the advertisement also says that addresses and settings are had by that (flags
M and O), without which iPXE asks for none, and which addresses are reached directly: DHCPv6 tells no
prefix.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv6Network

    from hostler.netboot.table import NetworkConfig

log = logging.getLogger(__name__)

ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
LEAST_SECONDS = 0.05
"""Between two advertisements on a network: one answers all who asked meanwhile."""

MANAGED, OTHER = 0x80, 0x40
ON_LINK = 0x80
PREFIX_SECONDS = 30 * 86400
"""How long an advertised prefix holds: RFC 4861 section 6.2.1."""


def advertisement(subnet6: IPv6Network | None) -> bytes:
    """Return a router advertisement without a router.

    Args:
        subnet6: What DHCPv6 gives addresses of on the network, or None: there is no DHCPv6.
    """
    flags = MANAGED | OTHER if subnet6 is not None else 0
    # Type, code, checksum (the kernel's), hop limit (unspecified), flags, router lifetime, reachable and
    # retransmit time.
    head = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0)
    if subnet6 is None:
        return head
    # Prefix information (RFC 4861 section 4.6.2): type, length in eights, prefix length, flags, valid and
    # preferred lifetime. Without flag A nobody makes an address of it.
    prefix = struct.pack("!BBBBIII", 3, 4, subnet6.prefixlen, ON_LINK, PREFIX_SECONDS, PREFIX_SECONDS, 0)
    return head + prefix + subnet6.network_address.packed


_ICMP6_FILTER = 1
_ONLY_SOLICITATIONS = struct.pack(
    "=8I",
    *(
        0xFFFFFFFF & ~((1 << ROUTER_SOLICITATION % 32) * (word == ROUTER_SOLICITATION // 32))
        for word in range(8)
    ),
)


class NoRouter:
    """Answers router solicitations on the networks' interfaces, in the running loop.

    It is a convenience: where IPv6 is switched off or raw sockets are not permitted, it does nothing.
    """

    def __init__(self, networks: Iterable[NetworkConfig]) -> None:
        self._networks = tuple(networks)
        self._sockets: list[socket.socket] = []

    def start(self) -> None:
        """Listen where that is possible."""
        loop = asyncio.get_running_loop()
        for network in self._networks:
            try:
                opened = _open(network.interface)
            except OSError as error:
                log.info("network %s: iPXE will wait for an IPv6 router: %s", network.name, error.strerror)
                continue
            self._sockets.append(opened)
            loop.add_reader(opened, _Answering(opened, network))

    def stop(self) -> None:
        """Stop listening."""
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            loop.remove_reader(opened)
            opened.close()
        self._sockets.clear()


class _Answering:
    def __init__(self, opened: socket.socket, network: NetworkConfig) -> None:
        self._socket = opened
        self._advertisement = advertisement(network.subnet6)
        self._everybody = (ALL_NODES, 0, 0, socket.if_nametoindex(network.interface))
        self._last = 0.0

    def __call__(self) -> None:
        with contextlib.suppress(OSError):
            asked = self._socket.recv(64)
            now = time.monotonic()
            if asked[:1] == bytes((ROUTER_SOLICITATION,)) and now - self._last >= LEAST_SECONDS:
                self._last = now
                self._socket.sendto(self._advertisement, self._everybody)


def _open(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    try:
        index = socket.if_nametoindex(interface)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _ONLY_SOLICITATIONS)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        # Receivers drop what did not come from the link itself, and 255 is how they know (RFC 4861, 6.1.2).
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    except OSError:
        opened.close()
        raise
    return opened
