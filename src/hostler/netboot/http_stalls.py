"""Looks at the HTTP connections now and then: does one lose every large packet? Then the trace says so."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from hostler.wire.tcp_info import LENGTH, TcpInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOOK_SECONDS: Final = 2.0
_HEADERS = 20 + 20 + 12  # IP, TCP, and the timestamps that every packet of Linux has


class HttpStalls:
    """A timer over the connections of one listener.

    Args:
        transports: Returns the connections there are.
        tell: Takes the client's address, the size of the lost packets in bytes and words for the trace; once
            a connection.
    """

    def __init__(
        self,
        transports: Callable[[], Iterable[asyncio.BaseTransport | None]],
        tell: Callable[[str, int, str], None],
    ) -> None:
        self._transports = transports
        self._tell = tell
        self._told: set[asyncio.BaseTransport] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        present = {transport for transport in self._transports() if transport is not None}
        self._told &= present
        for transport in present - self._told:
            info = _info(transport)
            if info is not None and info.large_lost:
                self._told.add(transport)
                client = str(transport.get_extra_info("peername")[0])
                packet = info.segment + _HEADERS
                self._tell(client, packet, words(client, packet, info.tries))
        self.start()


def words(client: str, packet: int, tries: int) -> str:
    """Return what to say of a connection that loses its large packets."""
    return (
        f"asks, and takes no packet of {packet} bytes of the answer, sent {tries + 1} times: either it lost"
        " its power just then, or packets of that size are lost on the way. Make the MTU the same on this"
        f" host's interface, on every switch and on tunnels between (`ping -M do -s {packet - 28} {client}`);"
        " `sysctl net.ipv4.tcp_mtu_probing=1` on this host lets it find the right size by itself"
    )


def _info(transport: asyncio.BaseTransport) -> TcpInfo | None:
    connection = transport.get_extra_info("socket")
    if connection is None or transport.is_closing():
        return None
    try:
        return TcpInfo.parse(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH))
    except OSError:
        return None
