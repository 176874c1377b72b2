"""One TFTP transfer on a socket of its own, connected to the client's port."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from hostler.wire.tftp import HEADER_BYTES
from hostler.wire.tftp_session import split_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from hostler.netboot.virtual_file import VirtualFile
    from hostler.wire.tftp import ReadRequest
    from hostler.wire.tftp_session import TftpSession

UDP_SEGMENT: Final = 103  # linux/udp.h, since 4.18; the socket module does not name it
IP_MTU: Final = 14  # linux/in.h
IPV6_MTU: Final = 24  # linux/in6.h
IP_AND_UDP_BYTES: Final = 28
IPV6_AND_UDP_BYTES: Final = 48
SEND_BUFFER: Final = 512 * 1024  # two windows with what the kernel adds to each packet
LONGEST_ANSWER: Final = 400  # clients send acknowledgements and errors only; below malloc's threshold
SMALLEST_SEGMENT: Final = 516  # ERROR and OACK must not be cut up


Peer = tuple[Any, ...]
"""A client as its socket names it: address and port, and for IPv6 the interface too."""


def connect(local: IPv4Address | IPv6Address, client: Peer, device: str | None) -> socket.socket:
    """Open the socket of a transfer; raises OSError."""
    family = socket.AF_INET if local.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind((str(local), 0))
        sock.connect(client)
    except OSError:
        sock.close()
        raise
    return sock


def largest_block(sock: socket.socket) -> int:
    """Return the largest block that leaves unfragmented; many boot loaders cannot join fragments."""
    if sock.family == socket.AF_INET6:
        return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU) - IPV6_AND_UDP_BYTES - HEADER_BYTES
    return sock.getsockopt(socket.IPPROTO_IP, IP_MTU) - IP_AND_UDP_BYTES - HEADER_BYTES


class Transfer:
    """Carry datagrams between a socket and a session.

    Attributes:
        client: The client's address.
        key: Network and the client's address and port; one transfer each.
        name: The file's name, cleaned.
        size: Of the file, bytes.
        request: As it came.
        session: The protocol.
        looks: How often it was looked at because it goes on for long.
    """

    __slots__ = (
        "_file", "_receive", "_send", "_socket", "_step", "client", "key", "looks", "name", "request",
        "session", "size",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        session: TftpSession,
        file: VirtualFile,
        client: IPv4Address | IPv6Address,
        key: tuple[str, Peer],
        name: str,
        request: ReadRequest,
    ) -> None:
        self.client = client
        self.key = key
        self.name = name
        self.size = file.size
        self.request = request
        self.session = session
        self.looks = 0
        self._socket = sock
        self._file = file
        self._step = session.step
        self._receive: Callable[[int], bytes] = sock.recv
        self._send: Callable[[bytes | memoryview], int] = sock.send
        if session.agreement.window > 1:
            self._ask_for_segmentation()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def ready(self, now: float) -> bool:
        """Take one datagram and send what follows; return whether the session may have ended or paused."""
        try:
            datagram = self._receive(LONGEST_ANSWER)
            run = self._step(datagram, now)
            if run is not None:
                self._send(run)
                return False
        except ConnectionRefusedError:
            self.session.peer_gone(now)
        except OSError:
            return (
                False  # nothing there, no route, filtered, buffer full: like a lost packet, the timer decides
            )
        else:
            self.session.receive(datagram, now)
        self.send(now)
        return True

    def tick(self, now: float) -> None:
        """Tell the session the time and send what follows from it."""
        self.session.handle_timer(now)
        self.send(now)

    def send(self, now: float) -> None:
        """Send what the session has ready."""
        for run in self.session.runs_to_send(now):
            try:
                self._send(run)
            except BlockingIOError:
                return  # socket buffer full: like a lost packet
            except ConnectionRefusedError:
                self.session.peer_gone(now)
                return
            except OSError as error:
                if len(run) <= self.session.segment or error.errno not in {
                    errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP,
                }:  # fmt: skip
                    return  # no route, filtered: like a lost packet
                # This interface cannot checksum segments; send single datagrams from here on.
                with suppress(OSError):
                    self._socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
                    self._send = self._send_parts
                    self._send_parts(run)

    def close(self) -> None:
        """Close the socket and the file."""
        self._socket.close()
        self._file.close()

    def _ask_for_segmentation(self) -> None:
        """Let the kernel cut runs into datagrams, where it can."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if self.session.segment < SMALLEST_SEGMENT:
            self._send = self._send_parts
            return
        try:
            self._socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, self.session.segment)
        except OSError:
            self._send = self._send_parts

    def _send_parts(self, run: bytes | memoryview) -> int:
        return sum(self._socket.send(part) for part in split_run(run, self.session.segment))
