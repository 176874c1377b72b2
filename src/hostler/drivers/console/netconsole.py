"""What a board says by UDP: Linux's netconsole, and the Raspberry Pi's EEPROM (its setting ``NETCONSOLE``).

Equipment: optional ``listen`` (``0.0.0.0:6666``). Binding: ``source = "10.77.0.101"``, the board's address.
It only listens: nothing can be typed. Datagrams from other addresses are not this board's; UDP may lose some.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT_BYTES = 1 << 20
"""What is kept for a reader that is busy; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class NetconsoleConfig:
    """What one board says.

    Attributes:
        host: Our address that is listened on.
        port: UDP port that is listened on.
        source: The board's address.
    """

    host: str
    port: int
    source: str


class Netconsole:
    """Opens the line; see NetconsoleConfig."""

    def __init__(self, config: NetconsoleConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Netconsole:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "listen")
        settings.only(binding, "source")
        host, port = settings.address({"listen": "0.0.0.0:6666", **equipment}, "listen", default_port=6666)
        source = settings.text(binding, "source")
        try:
            source = str(ipaddress.ip_address(source))
        except ValueError as error:
            raise DriverConfigError("source", f"must be the board's address, not {source!r}") from error
        return cls(NetconsoleConfig(host, port, source))

    async def open(self) -> NetconsoleStream:
        """Listen; the boards of one port share a socket.

        Raises:
            EquipmentUnreachable: The port is taken, or the address is not ours.
            EquipmentRefused: Another console listens to the same board.
        """
        try:
            listener = await _listener(self.config.host, self.config.port)
        except OSError as error:
            raise EquipmentUnreachable(f"{self}: cannot listen: {error.strerror or error}") from error
        return listener.add(self.config.source)

    def __str__(self) -> str:
        return f"console netconsole {self.config.host}:{self.config.port} from {self.config.source}"


class NetconsoleStream:
    """An open line; made by its listener."""

    def __init__(self, listener: _Listener, source: str) -> None:
        self._listener = listener
        self._source = source
        self._kept: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._news = asyncio.Event()

    async def read(self) -> bytes:
        """Return what the board said; ``b""`` when the line was closed."""
        while not self._kept and not self._closed:
            self._news.clear()
            await self._news.wait()
        if self._closed:
            return b""
        said = b"".join(self._kept)
        self._kept.clear()
        self._size = 0
        return said

    async def write(self, data: bytes) -> None:  # noqa: ARG002
        """Refuse: nobody listens at the other end.

        Raises:
            EquipmentUnreachable: The line is closed.
            EquipmentRefused: It is not.
        """
        if self._closed:
            raise EquipmentUnreachable(f"netconsole from {self._source}: the line is closed")
        raise EquipmentRefused(f"netconsole from {self._source} only listens; to type, bind a serial console")

    async def close(self) -> None:
        """Stop listening."""
        self.end()
        await asyncio.sleep(0)

    def deliver(self, data: bytes) -> None:
        """Take a datagram."""
        self._kept.append(data)
        self._size += len(data)
        while self._size > _KEPT_BYTES:
            self._size -= len(self._kept.popleft())
        self._news.set()

    def end(self) -> None:
        """Mark the line closed."""
        if not self._closed:
            self._closed = True
            self._news.set()
            self._listener.remove(self._source)


class _Listener(asyncio.DatagramProtocol):
    """One socket, and the boards that are listened to on it."""

    def __init__(self, listeners: dict[tuple[str, int], _Listener], key: tuple[str, int]) -> None:
        self._listeners = listeners
        self._key = key
        self._streams: dict[str, NetconsoleStream] = {}
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        source = str(addr[0]).removeprefix("::ffff:").partition("%")[0]
        if data and (stream := self._streams.get(source)) is not None:
            stream.deliver(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        for stream in tuple(self._streams.values()):
            stream.end()

    def add(self, source: str) -> NetconsoleStream:
        if source in self._streams:
            raise EquipmentRefused(f"netconsole from {source}: another board has this source; correct one")
        stream = self._streams[source] = NetconsoleStream(self, source)
        return stream

    def remove(self, source: str) -> None:
        self._streams.pop(source, None)
        if not self._streams and self.transport is not None:
            self.transport.close()
            if self._listeners.get(self._key) is self:
                del self._listeners[self._key]


_running: WeakKeyDictionary[
    asyncio.AbstractEventLoop, tuple[asyncio.Lock, dict[tuple[str, int], _Listener]]
] = WeakKeyDictionary()


async def _listener(host: str, port: int) -> _Listener:
    """Return the listener of an address, made when it is the first to be asked for."""
    loop = asyncio.get_running_loop()
    lock, listeners = _running.setdefault(loop, (asyncio.Lock(), {}))
    async with lock:
        if (host, port) not in listeners:
            _, listener = await loop.create_datagram_endpoint(
                lambda: _Listener(listeners, (host, port)), local_addr=(host, port)
            )
            listeners[host, port] = listener
        return listeners[host, port]
