"""Tells hosts that ask for an IPv6 router that there is none to wait for.

iPXE configures IPv4 and IPv6 at once and boots when both have ended. Where nobody answers its router
solicitations, that is 16 seconds after DHCP (measured with 1.0.0+git-20190125), at every start. An
advertisement with a router lifetime of zero, no prefix and no flags (RFC 4861, 4.2) says: no default
router here, no addresses to be had. It changes nothing for a host and ends the wait at once; a real IPv6
router on the same network goes on to say what it says.
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

    from hostler.netboot.table import NetworkConfig

log = logging.getLogger(__name__)

ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
LEAST_SECONDS = 0.05
"""Between two advertisements on a network: one answers all who asked meanwhile."""

# Type, code, checksum (the kernel's), hop limit (unspecified), flags, router lifetime, reachable and
# retransmit time.
ADVERTISEMENT = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)

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
            loop.add_reader(opened, _Answering(opened, network.interface))

    def stop(self) -> None:
        """Stop listening."""
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            loop.remove_reader(opened)
            opened.close()
        self._sockets.clear()


class _Answering:
    def __init__(self, opened: socket.socket, interface: str) -> None:
        self._socket = opened
        self._everybody = (ALL_NODES, 0, 0, socket.if_nametoindex(interface))
        self._last = 0.0

    def __call__(self) -> None:
        with contextlib.suppress(OSError):
            asked = self._socket.recv(64)
            now = time.monotonic()
            if asked[:1] == bytes((ROUTER_SOLICITATION,)) and now - self._last >= LEAST_SECONDS:
                self._last = now
                self._socket.sendto(ADVERTISEMENT, self._everybody)


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
