"""How firmware hears DHCP answers: with a network stack of its own, before it has an address.

A server may send its offer to the address it offers. The kernel would drop that, so whole packets are read
here.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_ETH_P_IP = 0x0800
_UDP = 17
_BROADCAST = "255.255.255.255"


class DhcpSocket:
    """Sends as a client without an address and hears what comes for one; needs root.

    Args:
        interface: The interface.
        server_port: The server's port (67); the client's is one more.
    """

    def __init__(self, interface: str, server_port: int = 67) -> None:
        self._interface = interface
        self._server_port = server_port

    def __enter__(self) -> Self:
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ears = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
        self._sender.bind(("", self._server_port + 1))
        self._ears.bind((self._interface, _ETH_P_IP))
        return self

    def __exit__(self, *_: object) -> None:
        self._sender.close()
        self._ears.close()

    def send(self, datagram: bytes) -> None:
        """Send to everybody."""
        self._sender.sendto(datagram, (_BROADCAST, self._server_port))

    def received(self, until: float) -> Iterator[bytes]:
        """Give what comes until then (monotonic clock), whatever address it is for."""
        while (left := until - time.monotonic()) > 0:
            self._ears.settimeout(left)
            try:
                packet, sender = self._ears.recvfrom(65536)
            except TimeoutError:
                return
            header = 4 * (packet[0] & 0xF) if packet else 0
            if sender[2] == socket.PACKET_OUTGOING or len(packet) < header + 8 or packet[9] != _UDP:
                continue
            if int.from_bytes(packet[header + 2 : header + 4]) == self._server_port + 1:
                length = int.from_bytes(packet[header + 4 : header + 6])
                yield packet[header + 8 : header + length]
